"""Gives memory that is free back to the system: the allocator of the C library would keep that of large pictures.

Does nothing where that library is not glibc.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""glibc's numbers of the two settings, from `malloc.h`."""

MMAP_BYTES = 4 * 2**20
"""Blocks of so many bytes are mapped one by one, and given back as soon as they are free."""

TRIM_BYTES = 16 * 2**20
"""Free bytes at the end of a heap of which more are given back."""

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_IS_GLIBC = hasattr(_LIBC, "malloc_trim")


def configure() -> None:
    """Keep the bounds as they are set here; by itself glibc raises both with the largest block that was ever freed."""
    if _LIBC is not None and _IS_GLIBC:
        _LIBC.mallopt(_M_MMAP_THRESHOLD, MMAP_BYTES)
        _LIBC.mallopt(_M_TRIM_THRESHOLD, TRIM_BYTES)


def trim() -> None:
    """Give back what is free, between blocks that are not. Takes milliseconds."""
    if _LIBC is not None and _IS_GLIBC:
        _LIBC.malloc_trim(0)
