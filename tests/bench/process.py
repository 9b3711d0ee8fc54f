"""What a process has used: CPU time and memory, as the kernel counts them."""

import re
import time
from pathlib import Path


def cpu_secs(pid: int) -> float:
    """Give the CPU seconds of a process so far, all its threads (ended ones too), to the nanosecond.

    The clock's number is what clock_getcpuclockid(3) gives for another process on Linux.
    """
    return time.clock_gettime(~pid << 3 | 2)


def resident_bytes(pid: int) -> int:
    """Give the resident memory of a process."""
    return _status(pid, "VmRSS") << 10


def peak_resident_bytes(pid: int) -> int:
    """Give the most resident memory that a process ever had."""
    return _status(pid, "VmHWM") << 10


def threads(pid: int) -> int:
    """Give the number of threads of a process."""
    return _status(pid, "Threads")


def descriptors(pid: int) -> int:
    """Give the number of open descriptors of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _status(pid: int, field: str) -> int:
    found = re.search(rf"^{field}:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])
