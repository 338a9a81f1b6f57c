"""What JAX is to know before it is imported."""

import os
import platform

from class_jax.workdir import CACHE

MOST_BYTES = 4 * 2**30


def keep_compiled_programs() -> None:
    """Have JAX keep what it compiles in the user's cache, for the next run of the same network.

    A folder for each machine, because programs for a CPU are made for that one. The environment
    variables of JAX say otherwise where they are set; an empty JAX_COMPILATION_CACHE_DIR keeps
    nothing.
    """
    folder = CACHE.expanduser() / "compiled" / platform.node()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(MOST_BYTES))
