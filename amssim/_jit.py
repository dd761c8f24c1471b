"""How the package compiles with Numba: the options of every CPU kernel are decided here.

Kernels are compiled at their first call, never at import, and cached on disk where a cache
directory can be written. Kernels check nothing: what calls them validates.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, overload

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.runtime.nrt import rtsys

from amssim._sources import stamp

_Function = Callable[..., Any]


@overload
def jit(function: _Function) -> Any: ...
@overload
def jit(**options: Any) -> Callable[[_Function], Any]: ...
def jit(function: _Function | None = None, **options: Any) -> Any:
    """Compile a kernel: no GIL, IEEE arithmetic, no bounds checks, cached on disk if possible.

    Integer results are exact and float results are those of the written order of operations.
    """
    if function is None:
        return lambda f: jit(f, **options)
    options = {"nogil": True, "error_model": "numpy"} | options
    kernel = numba.njit(**options)(function)
    with suppress(RuntimeError):  # no cache directory can be written
        kernel._cache = _Cache(function)
    return kernel


#: A helper whose code is copied into the kernels that call it, before types are inferred: for
#: loops that vectorise only if a bound is a constant, which the caller gives.
inline: Callable[[_Function], Any] = numba.njit(inline="always", error_model="numpy")

#: A helper without loops that LLVM merges into the kernels that call it: compiled once, quickly.
leaf: Callable[[_Function], Any] = numba.njit(
    forceinline=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
)

#: A part of kernels, not called from Python: it saves the time to compile that entry.
part: Callable[[_Function], Any] = numba.njit(
    error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
)


class _CacheFile(IndexDataCacheFile):  # type: ignore[misc]  # Numba's classes have no types
    """An index that starts anew where it cannot be read, as when it names a type that is gone."""

    def _load_index(self) -> Any:
        try:
            return super()._load_index()
        except Exception:
            return {}


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's cache on disk, which never fails and knows what a kernel is made of.

    Numba compiles a kernel anew when its own file changes. A kernel also holds code and constants
    of the modules that its file imports, so their sources count too.
    """

    def __init__(self, function: _Function):
        super().__init__(function)
        self._cache_file = _CacheFile(
            self._cache_path,
            self._impl.filename_base,
            (self._impl.locator.get_source_stamp(), stamp(function.__module__)),
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load compiled code; Numba's own would first load all that only compiling needs.

        That is half a second at the first call of a process, and whatever compiles does it anyway.
        """
        try:
            rtsys.initialize(target_context)  # arrays come in and go out by it
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)
        except Exception:  # a damaged file may raise anything: compile instead
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):  # the disk is full, or the directory is no longer writable
            super().save_overload(sig, data)
