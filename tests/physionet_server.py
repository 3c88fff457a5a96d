"""PhysioNet on this machine: its directory layout with stand-in recordings, served over HTTP with Range, and with what goes wrong on a network."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from generator.recordings import mimic, ptbxl
from tests.wfdb_files import signals, write_record

RHYTHMS = ("NSR", "AF")


@dataclass
class Served:
    """Faults are by path below the address. cuts: how often a transfer breaks in its middle; requests: (path, Range header or "")."""

    address: str
    cuts: dict[str, int] = field(default_factory=dict)
    altered: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    busy: dict[str, int] = field(default_factory=dict)  # how often the server answers 503
    requests: list[tuple[str, str]] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.lstrip("/")
            asked = self.headers.get("Range", "")
            state.requests.append((path, asked))
            file = folder / path
            if path in state.absent or not file.is_file():
                self._answer(404, b"")
                return
            if state.busy.get(path, 0) > 0:
                state.busy[path] -= 1
                self._answer(503, b"")
                return
            content = file.read_bytes()
            if path in state.altered:
                content = content[:-1] + bytes([content[-1] ^ 1])
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0  # type: ignore[index]
            if asked and start >= len(content):
                self._answer(416, b"", f"bytes */{len(content)}")
                return
            cut = state.cuts.get(path, 0) > 0
            state.cuts[path] = state.cuts.get(path, 0) - 1
            self._answer(206 if asked else 200, content[start:], f"bytes {start}-{len(content) - 1}/{len(content)}" if asked else "", cut)

        def _answer(self, status: int, body: bytes, content_range: str = "", cut: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if content_range:
                self.send_header("Content-Range", content_range)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Served(f"http://127.0.0.1:{server.server_port}/")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def lay_out_ptbxl(folder: Path, records: int = 8) -> Path:
    """Records of either rhythm by turns, two of each patient but for rhythm, folds 1 and 2 by turns of four; one row of another rhythm."""
    root = folder / "ptb-xl" / "1.0.3"
    rows = ["ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr"]
    for i in range(records):
        name, rhythm = f"{i + 1:05d}_lr", RHYTHMS[i % 2]
        write_record(root / "records100" / "00000", name, signals(i, rhythm))
        codes = "{'NORM': 100.0, 'SR': 0.0}" if rhythm == "NSR" else "{'AFIB': 0.0}"
        rows.append(f'{i + 1},{100 + i // 2}.0,{40 + i},{i % 2},"{codes}",{1 + i // 4 % 2},records100/00000/{name},records500/00000/{i + 1:05d}_hr')
    rows.append(f"99,7.0,50,1,\"{{'SBRAD': 0.0}}\",1,records100/00000/{99:05d}_lr,records500/00000/{99:05d}_hr")
    (root / ptbxl.TABLE).write_text("\n".join(rows) + "\n")
    return _published(root)


def lay_out_mimic(folder: Path, records: int = 4) -> Path:
    root = folder / "mimic-iv-ecg" / "1.0"
    listed, measured = ["subject_id,study_id,file_name,ecg_time,path"], ["subject_id,study_id,cart_id,report_0,report_1"]
    for i in range(records):
        subject, study, rhythm = 10_000_032 + i, 40_000_000 + i, RHYTHMS[i % 2]
        place = f"files/p{str(subject)[:4]}/p{subject}/s{study}/{study}"
        write_record(root / Path(place).parent, str(study), signals(20 + i, rhythm))
        listed.append(f"{subject},{study},{study},2180-07-23 08:44:00,{place}")
        measured.append(f"{subject},{study},6848296," + ("Sinus rhythm,Normal ECG" if rhythm == "NSR" else "Atrial fibrillation,Abnormal ECG"))
    (root / mimic.RECORDS).write_text("\n".join(listed) + "\n")
    (root / mimic.MEASUREMENTS).write_text("\n".join(measured) + "\n")
    return _published(root)


def _published(root: Path) -> Path:
    (root / "LICENSE.txt").write_text("the licence\n")
    files = sorted(file for file in root.rglob("*") if file.is_file())
    (root / "SHA256SUMS.txt").write_text("".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()} {file.relative_to(root)}\n" for file in files))
    return root
