"""What one process may use of the machine, where Python's `resource` knows such limits.

Linux keeps all of them. macOS keeps no limit of memory; Windows has no `resource`: there only the clock of whoever waits for the process holds.
"""

from __future__ import annotations

from contextlib import suppress

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MEMORY = 4 << 30  # bytes of addresses; libraries alone take 1.5 GiB of them, a recording of the largest size that is read 1.4
OPEN_FILES = 64


def limit_memory() -> None:
    """Asking for more than MEMORY raises MemoryError from now on."""
    _limit("RLIMIT_AS", MEMORY)


def limit_files(largest: int) -> None:
    """No file of more than `largest` bytes can be written (0: none at all), OPEN_FILES are open at once, no core is dumped."""
    _limit("RLIMIT_FSIZE", largest)
    _limit("RLIMIT_NOFILE", OPEN_FILES)
    _limit("RLIMIT_CORE", 0)


def allow_processor(seconds: int) -> None:
    """The system ends this process once it has used so many more seconds of processor time."""
    if resource is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        with suppress(ValueError, OSError):  # a stricter limit stands already
            resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _limit(name: str, value: int) -> None:
    if resource is not None:
        with suppress(ValueError, OSError):  # a system that does not keep this one
            resource.setrlimit(getattr(resource, name), (value, value))
