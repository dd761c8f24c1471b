"""How the package compiles with Numba: the options of every CPU kernel are decided here.

Kernels are compiled at their first call, never at import, and cached on disk where a cache
directory can be written. Kernels check nothing: what calls them validates.
"""

from __future__ import annotations

import numba


def jit(function=None, **options):
    """Compile a kernel: no GIL, IEEE arithmetic, no bounds checks, cached on disk if possible.

    Integer results are exact and float results are those of the written order of operations.
    """
    if function is None:
        return lambda f: jit(f, **options)
    options = {"nogil": True, "error_model": "numpy"} | options
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no cache directory can be written
        return numba.njit(**options)(function)


#: A helper that is merged into the kernels that call it.
inline = numba.njit(inline="always", error_model="numpy")
