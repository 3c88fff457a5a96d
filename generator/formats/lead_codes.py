"""Lead numbers of SCP-ECG (EN 1064, table of lead identification), which ISO/IEEE 11073-10101 (MDC) and DICOM CID 3001 took over."""

from __future__ import annotations

LEAD_OF_CODE = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 3: "V1", 4: "V2", 5: "V3", 6: "V4", 7: "V5", 8: "V6"}
