"""Keeps small what glibc's malloc holds: few arenas, and free pages given back. Elsewhere it does nothing."""

from __future__ import annotations

import ctypes

ARENAS = 2
"""Each arena keeps the most its threads ever needed at once; by default there are eight per core."""

_M_ARENA_MAX = -8


def keep_few_arenas() -> None:
    """Have threads share arenas. For the start of a process; arenas that are there stay."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Give whole pages that are free back to the kernel; allocations wait a few milliseconds meanwhile."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
