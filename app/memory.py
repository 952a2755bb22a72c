"""Returns free memory to the system, because glibc's allocator would keep that of large pictures.

It does nothing with another C library.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""glibc's numbers for the two settings, from `malloc.h`."""

MMAP_BYTES = 4 * 2**20
"""Size from which a block is mapped by itself, in bytes; it returns to the system as soon as it is free."""

TRIM_BYTES = 16 * 2**20
"""Most free memory kept at the end of a heap, in bytes; more returns to the system."""

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
