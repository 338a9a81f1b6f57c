"""How a process that makes large arrays over and over should treat its memory."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>


def keep_freed_memory() -> None:
    """Have the next arrays lie where the last ones did; up to a half faster, on Linux.

    Large arrays are otherwise given back to the system, which clears their memory each time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**25)  # bytes, the largest that is allowed
        mallopt(M_TRIM_THRESHOLD, 2**28)
