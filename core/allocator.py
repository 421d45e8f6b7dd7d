"""Who keeps the memory between two steps? The process, where it is asked to."""

import ctypes
import sys

TRIM, MMAP = -1, -3
"""glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD."""

KEPT = 1 << 30
"""Bytes of freed memory that are not given back to the system."""

WHOLE = 32 << 20
"""Bytes up to which one tensor comes from kept memory, the most that glibc allows."""


def keep_memory() -> bool:
    """Keep up to 1 GiB of freed host memory for the next step, for as long as the process lives.

    A relaxation allocates the same tensors at every step. glibc gives large ones back to the system
    as soon as they are free, and the next step pays for every page again: on convolutions up to
    half of its time. A process that relaxes for long asks for this once; a library does not do so
    by itself, because it holds for all that the process allocates.

    Returns: whether the allocator takes the wish; elsewhere than on Linux with glibc it does not.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(TRIM, KEPT)) and bool(mallopt(MMAP, WHOLE))


def give_back() -> bool:
    """Give freed host memory that is kept back to the system, once: what was large has ended.

    Returns: whether there was any; elsewhere than on Linux with glibc nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))
