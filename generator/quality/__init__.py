"""How good synthetic strips are, in figures beside the same figures of recordings. docs/quality.md says what each means.

`generator.quality.measure.quality` measures (and imports torch); `generator.quality.result` holds what comes of it (and does not).
"""
