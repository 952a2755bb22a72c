"""Returns free memory to the system, and keeps the garbage collector from objects that last.

glibc's allocator would keep the memory of large pictures; with another C library nothing is done about it.
"""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def lasting() -> Iterator[None]:
    """Exclude what exists at the end of the context from garbage collection, for good.

    A full collection passes over every object. Those of TensorFlow take 0.2 seconds, in which no thread runs.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
