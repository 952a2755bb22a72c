"""How the allocator of the C library gives memory back to the system."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""glibc's names of the two, from `malloc.h`."""

MMAP_BYTES = 4 * 2**20
"""Blocks of so many bytes are mapped, and given back as soon as they are free."""

TRIM_BYTES = 16 * 2**20
"""Free bytes at the end of the heap of which more are given back."""


def give_back_large_blocks() -> None:
    """Keep the memory of large pictures from staying with the process; does nothing where the library is not glibc.

    By itself glibc raises both bounds to the largest block that was ever freed, 32 MiB at most.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_MMAP_THRESHOLD, MMAP_BYTES)
            libc.mallopt(_M_TRIM_THRESHOLD, TRIM_BYTES)
