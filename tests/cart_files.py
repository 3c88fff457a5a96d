"""What carts write and no library does: GE MUSE XML, Philips Sierra XML, SCP-ECG; each by hand, from known samples."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from generator.leads import LEADS, STORED
from tests.format_files import BORN, CODES, MICROVOLTS, NAME, NUMBER, WARD

LAST, FIRST = NAME.split("^")


def muse(counts: NDArray[np.int16], rate: int = 500, leads: Sequence[str] = STORED, *, step: float = MICROVOLTS) -> str:
    """counts: (leads, samples). A median beat stands before the rhythm, as MUSE writes it."""

    def waveform(kind: str, rows: NDArray[np.int16]) -> str:
        data = "".join(
            f"<LeadData><LeadByteCountTotal>{2 * row.size}</LeadByteCountTotal><LeadSampleCountTotal>{row.size}</LeadSampleCountTotal>"
            f"<LeadAmplitudeUnitsPerBit>{step}</LeadAmplitudeUnitsPerBit><LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits>"
            f"<FirstSampleBaseline>0</FirstSampleBaseline><LeadSampleSize>2</LeadSampleSize><LeadID>{lead}</LeadID>"
            f"<WaveFormData>{base64.encodebytes(row.astype('<i2').tobytes()).decode()}</WaveFormData></LeadData>"
            for lead, row in zip(leads, rows, strict=True)
        )
        return (
            f"<Waveform><WaveformType>{kind}</WaveformType><SampleType>CONTINUOUS_SAMPLES</SampleType><SampleBase>{rate}</SampleBase>"
            f"<SampleExponent>0</SampleExponent><NumberofLeads>{len(leads)}</NumberofLeads>{data}</Waveform>"
        )

    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?><!DOCTYPE RestingECG SYSTEM "restecg.dtd"><RestingECG>'
        f"<PatientDemographics><PatientID>{NUMBER}</PatientID><DateofBirth>{BORN}</DateofBirth><PatientLastName>{LAST}</PatientLastName>"
        f"<PatientFirstName>{FIRST}</PatientFirstName></PatientDemographics><TestDemographics><SiteName>{WARD}</SiteName></TestDemographics>"
        f"<Diagnosis><DiagnosisStatement><StmtText>seen by {NAME}</StmtText></DiagnosisStatement></Diagnosis>"
        f"{waveform('Median', counts[:, :600])}{waveform('Rhythm', counts)}</RestingECG>"
    )


# ---- Philips Sierra ----


def sierra(counts: NDArray[np.int64], rate: int = 500, *, packed: bool = True, version: str = "1.04", step: float = MICROVOLTS) -> str:
    """counts: (12, samples) in the order of LEADS. Limb leads but I and II are written as differences from what those predict, as Philips does."""
    one, two, three = counts[0], counts[1], counts[2]
    stored = counts.copy()
    stored[2] = two - one - three
    stored[3] = -counts[3] - (one + two) // 2
    stored[4] = (one - three) // 2 - counts[4]
    stored[5] = (two + three) // 2 - counts[5]
    content = b"".join(map(_chunk, stored)) if packed else stored.astype("<i2").tobytes()
    old = version == "1.03"
    about = 'compressmethod="XLI"' if old else f'compression="XLI" numberofleads="12" leadlabels="{" ".join(LEADS)}"'
    return (
        f'<?xml version="1.0"?><restingecgdata xmlns="http://www3.medical.philips.com"><documentinfo><documentversion>{version}</documentversion>'
        f"</documentinfo><dataacquisition><acquirer><institutionname>{WARD}</institutionname></acquirer><signalcharacteristics>"
        f"<samplingrate>{rate}</samplingrate><{'signal' * old}resolution>{step}</{'signal' * old}resolution><acquisitiontype>STD-12</acquisitiontype>"
        "<bitspersample>16</bitspersample><signaloffset>0</signaloffset><numberchannelsallocated>12</numberchannelsallocated></signalcharacteristics>"
        f"</dataacquisition><patient><generalpatientdata><patientid>{NUMBER}</patientid><name><lastname>{LAST}</lastname><firstname>{FIRST}</firstname>"
        f"</name><age><dateofbirth>{BORN}</dateofbirth></age></generalpatientdata></patient><waveforms>"
        f'<parsedwaveforms dataencoding="Base64" {about if packed else about.replace("XLI", "Uncompressed")} '
        f'durationperchannel="{counts.shape[1] * 1000 // rate}">{base64.b64encode(content).decode()}</parsedwaveforms></waveforms></restingecgdata>'
    )


def _chunk(row: NDArray[np.int64]) -> bytes:
    """Size, code, first difference; then two samples and negative second differences, raised by 64 and one place late, packed."""
    second = -np.diff(row, 2)
    values = np.concatenate([row[:2], second[1:] + 64, [0]]).astype(np.int16)
    packed = _lzw((values.astype(np.uint16) >> 8).astype(np.uint8).tobytes() + (values.astype(np.uint16) & 255).astype(np.uint8).tobytes())
    return struct.pack("<IHh", len(packed), 1, int(second[0])) + packed


def _lzw(content: bytes) -> bytes:
    table = {bytes([byte]): byte for byte in range(256)}
    codes, string = [], b""
    for byte in content:
        longer = string + bytes([byte])
        if longer in table:
            string = longer
            continue
        codes.append(table[string])
        if len(table) <= 1022:
            table[longer] = len(table)
        string = bytes([byte])
    bits = "".join(f"{code:010b}" for code in [*codes, table[string], 1023])
    return int(bits.ljust(-len(bits) // 8 * -8, "1"), 2).to_bytes(-(-len(bits) // 8), "big")


# ---- SCP-ECG ----


def scp(
    counts: NDArray[np.int64],
    rate: int = 500,
    leads: Sequence[str] = STORED,
    *,
    differences: int = 2,
    table: str = "default",
    flags: int = 0b1100100,
    bimodal: int = 0,
) -> bytes:
    """counts: (leads, samples). table: default (EN 1064's), own (the same, written out), or none."""
    definition = bytes([len(leads), flags]) + b"".join(struct.pack("<IIB", 1, counts.shape[1], CODES[lead]) for lead in leads)
    rows = [_differences(row, differences) for row in counts]
    packed = [row.astype("<i2").tobytes() if table == "none" else _huffman(row) for row in rows]
    rhythm = struct.pack("<HHBB", round(MICROVOLTS * 1000), 1_000_000 // rate, differences, bimodal)
    rhythm += struct.pack(f"<{len(leads)}H", *map(len, packed)) + b"".join(packed)
    who = ((0, LAST), (1, FIRST), (2, NUMBER), (16, WARD), (30, f"seen by {NAME}"))
    header = b"".join(struct.pack("<BH", tag, len(text) + 1) + text.encode() + b"\0" for tag, text in who)
    header += struct.pack("<BHHBB", 5, 4, 1949, 5, 17) + b"\xff\0\0"
    tables = {"none": b"", "default": struct.pack("<H", 19999), "own": _own_table()}[table]
    parts = {1: header, 2: tables, 3: definition, 6: rhythm}
    place, index, body = 6 + 16 + 10 * 12, b"", b""
    for number in range(12):
        content = parts.get(number, b"")
        if number == 0:
            index += struct.pack("<HII", 0, 16 + 120, 7)
        elif content:
            section = struct.pack("<HIBB6x", number, 16 + len(content), 20, 20) + content
            section = struct.pack("<H", binascii.crc_hqx(section, 0xFFFF)) + section
            index += struct.pack("<HII", number, len(section), place + len(body) + 1)
            body += section
        else:
            index += struct.pack("<HII", number, 0, 0)
    pointers = struct.pack("<HIBB6s", 0, 16 + len(index), 20, 20, b"SCPECG") + index
    return sealed(bytes(6) + struct.pack("<H", binascii.crc_hqx(pointers, 0xFFFF)) + pointers + body)


def sealed(content: bytes) -> bytes:
    """With the length and the checksum that the file must begin with."""
    rest = struct.pack("<I", len(content)) + content[6:]
    return struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest


def _differences(row: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    return np.concatenate([row[:order], np.diff(row, order)])


def _huffman(row: NDArray[np.int64]) -> bytes:
    bits = "".join(_code(int(value)) for value in row)
    return int("1" + bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(1 + -(-len(bits) // 8), "big")[1:]


def _code(value: int) -> str:
    if value == 0:
        return "0"
    if abs(value) <= 8:
        return "1" * abs(value) + "0" + "01"[value < 0]
    return f"1111111110{value & 255:08b}" if -128 <= value <= 127 else f"1111111111{value & 65535:016b}"


def _own_table() -> bytes:
    codes = [("0", 1, 0), *((_code(n), len(_code(n)), n) for n in (1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6, 7, -7, 8, -8))]
    codes += [("1111111110", 18, 0), ("1111111111", 26, 0)]
    each = (struct.pack("<BBBhI", len(prefix), whole, 1, value, int(prefix[::-1], 2)) for prefix, whole, value in codes)
    return struct.pack("<HH", 1, len(codes)) + b"".join(each)
