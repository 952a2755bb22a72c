"""Knows how much memory the process may use, and returns what is free to the system.

glibc's allocator would keep the memory of large pictures; with another C library nothing is done about it.
"""

import ctypes
import sys
from pathlib import Path, PurePosixPath

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Numbers of the two settings in glibc's `malloc.h`."""

MMAP_BYTES = 4 * 2**20
"""Smallest block that is mapped by itself, in bytes. It returns to the system as soon as it is free."""

TRIM_BYTES = 16 * 2**20
"""Most free memory that a heap keeps at its end, in bytes. More returns to the system."""

_LIMIT_FILES = {"": ("", "memory.max"), "memory": ("memory", "memory.limit_in_bytes")}
"""Folder and file of a group's limit, by the controllers in its line of /proc/self/cgroup: version 2, version 1."""

_UNLIMITED = 2**60
"""Version 1 writes about 2**63 where there is no limit."""

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_IS_GLIBC = hasattr(_LIBC, "malloc_trim")


def configure() -> None:
    """Fix both thresholds; by default glibc raises them with the largest block that was ever freed."""
    if _LIBC is not None and _IS_GLIBC:
        _LIBC.mallopt(_M_MMAP_THRESHOLD, MMAP_BYTES)
        _LIBC.mallopt(_M_TRIM_THRESHOLD, TRIM_BYTES)


def trim() -> None:
    """Return free memory to the system, also between used blocks. Takes milliseconds."""
    if _LIBC is not None and _IS_GLIBC:
        _LIBC.malloc_trim(0)


def limit(process: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The memory that the control groups of this process allow, in bytes, by version 2 or 1; None without a limit.

    Args:
        process: the groups of the process.
        groups: where their files are. In a container this is often its own group, whatever the path in `process`.
    """
    if not process.is_file():
        return None
    limits = []
    for line in process.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in _LIMIT_FILES:
            folder, name = _LIMIT_FILES[controllers]
            group = PurePosixPath(path.lstrip("/"))
            files = (groups / folder / parent / name for parent in (group, *group.parents))
            limits += [int(text) for file in files if file.is_file() and (text := file.read_text().strip()) != "max"]
    return min((found for found in limits if found < _UNLIMITED), default=None)
