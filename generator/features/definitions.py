"""The columns of a feature table: what each is called, its unit and its definition. docs/features.md is this table."""

from __future__ import annotations

UNITS: dict[str, tuple[str, str]] = {  # column: (unit, definition)
    "beats": ("1", "R peaks found in 10 s"),
    "heart_rate": ("1/min", "60 / mean RR interval"),
    "rr_mean": ("ms", "mean RR interval"),
    "rr_sd": ("ms", "standard deviation of RR intervals (n - 1)"),
    "rr_cv": ("1", "rr_sd / rr_mean"),
    "rr_rmssd": ("ms", "root mean square of successive differences of RR intervals"),
    "rr_pnn50": ("%", "successive RR differences above 50 ms"),
    "rr_entropy": (
        "1",
        "coefficient of sample entropy (Lake & Moorman 2011), m = 1: SampEn + ln(2 r) - ln(rr_mean); r: 30 ms, or more for 5 matches",
    ),
    "p_amplitude": (
        "mV",
        "peak to peak of the average beat in the P window (260 to 70 ms before R), straight line removed, largest of leads I, II and V1",
    ),
    "p_coherence": (
        "1",
        "median over beats of the correlation of a beat's P window with the other beats' mean, all leads; about 0 without P waves, 1 at most",
    ),
    "p_energy": (
        "mV",
        "root mean square over leads of what recurs in the P window: energy of the mean less the beats' scatter / n (0 where negative)",
    ),
    "p_beats": ("1", "share of beats with a P wave: QRS and T cancelled, the P window correlates with the other beats' mean by 0.5 or more"),
    "p_to_r": ("ms", "from the peak of the average beat's P wave (largest magnitude over leads in the P window) to the R time: PR without onsets"),
    "f_wave": ("mV", "root mean square in V1 of what does not recur with the beats, QRS left out"),
    "f_band": ("uV", "root mean square in V1 from 4 to 9 Hz of what the average beat leaves over, QRS (60 ms either way) bridged by a line"),
    "pr": ("ms", "P onset (15 % of the P wave's height, magnitude over leads) to QRS onset, where p_coherence is 0.5 or more"),
    "qrs_width": ("ms", "QRS onset to offset on the spatial speed of the average beat"),
    "qt": ("ms", "QRS onset to T offset (steepest tangent, Lepeschkin & Surawicz 1952) on the average beat's magnitude over leads"),
    "qtc": ("ms", "qt corrected by Fridericia 1920: qt / (rr_mean in s)^(1/3)"),
    "axis": ("degree", "frontal QRS axis: atan2 of aVF scaled by 2/sqrt(3) and I, both as QRS areas"),
    "r_I": ("mV", "highest point of the average QRS in I"),
    "r_II": ("mV", "highest point of the average QRS in II"),
    "r_V1": ("mV", "highest point of the average QRS in V1"),
    "s_V1": ("mV", "lowest point of the average QRS in V1"),
    "s_V2": ("mV", "lowest point of the average QRS in V2"),
    "r_V5": ("mV", "highest point of the average QRS in V5"),
    "r_V6": ("mV", "highest point of the average QRS in V6"),
    "r_transition": ("V lead", "where R outgrows S from V1 (1) to V6 (6), between leads by a line on R / (R + S); 1 if before V1, 6 if never"),
    "st_II": ("mV", "average beat in II 60 ms after the QRS offset, the PQ segment being zero"),
    "st_V2": ("mV", "the same in V2"),
    "st_V5": ("mV", "the same in V5"),
    "t_II": ("mV", "extreme of the average T wave in II, signed"),
    "t_V5": ("mV", "extreme of the average T wave in V5, signed"),
}
COLUMNS = tuple(UNITS)
