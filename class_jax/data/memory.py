"""Memory of processes that allocate large arrays over and over."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>


def keep_freed_memory() -> None:
    """Keep freed memory for the next arrays, on Linux; up to twice as fast.

    Otherwise large arrays go back to the system, which clears their memory every time.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        mallopt = libc.mallopt
        mallopt(M_MMAP_THRESHOLD, 2**25)  # bytes, the largest that is allowed
        mallopt(M_TRIM_THRESHOLD, 2**28)
