"""XML of several makers, told apart by the root element: no entities, nothing fetched from outside, bounded in size and depth."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import Element

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from generator.errors import Refused
from generator.formats import aecg, muse, sierra
from generator.formats.leads import AGAIN, Leads, Stated, content
from generator.formats.xml_parts import local

LARGEST = 32 << 20  # bytes

_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|!--|!DOCTYPE|[A-Za-z])")


def is_one(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", errors="ignore").encode()
    return bool(_START.match(head))


def read(path: Path, stated: Stated) -> Leads:
    """Raises Refused: entities, broken XML, a root element of no known kind, and as its maker's reader does."""
    try:
        root: Element = fromstring(content(path, LARGEST), forbid_entities=True, forbid_external=True)
    except DefusedXmlException:
        raise Refused("unreadable record", f"{path}: XML with entities, which no ECG needs. {AGAIN}") from None
    except (SyntaxError, ValueError, LookupError, RecursionError) as error:  # its words may quote the file
        raise Refused("unreadable record", f"{path}: broken XML ({type(error).__name__}). {AGAIN}") from None
    reader = _ROOTS.get(local(root))
    if reader is None:
        raise Refused("unknown format", f"{path}: XML of no kind that is read ({', '.join(_ROOTS)}). Export HL7 aECG, MUSE or Philips Sierra XML.")
    return reader(path, root)


_ROOTS: dict[str, Callable[[Path, Element], Leads]] = {
    "AnnotatedECG": aecg.read,
    "RestingECG": muse.read,
    "restingecgdata": sierra.read,
}
