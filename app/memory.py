"""Gives memory that is free back to the system: the allocator of the C library keeps that of large pictures."""

import ctypes
import sys
from typing import Any


def _malloc_trim() -> Any:
    """glibc's function, or None where the library is another one."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


_TRIM = _malloc_trim()


def trim() -> None:
    """Give back what is free. Takes milliseconds."""
    if _TRIM is not None:
        _TRIM(0)
