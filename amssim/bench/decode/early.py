"""Compiled kernels that let the next one begin at once: programmatic dependent launch.

PyTorch's compiler can launch its kernels so (``triton.enable_pdl``), but each lets the next one
begin only when it has read all that it reads, and reads some of it without having waited. The
products of this package prefetch weights while the grid ahead of them runs, so the earlier they
begin the better. Here each kernel first lets the next begin and then waits, before anything else:
whatever comes after the wait finds every earlier kernel complete, if all kernels do so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amssim.errors import UnsupportedError

#: What the compiler is told; nothing that it kept of other compilations fits.
OPTIONS = {"triton.enable_pdl": True, "fx_graph_cache": False}
_CALLS = ("gdc_wait", "gdc_launch_dependents")


@contextmanager
def early_kernels() -> Iterator[None]:
    """Have kernels that are compiled meanwhile, with `OPTIONS`, begin and wait as said above.

    Raises:
        UnsupportedError: this PyTorch's compiler writes its kernels in another way.
    """
    from torch._inductor.codegen.triton import TritonKernel

    before = getattr(TritonKernel, "_filter_pdl", None)
    if before is None or not hasattr(TritonKernel, "GDC_WAIT"):
        raise UnsupportedError("PyTorch's compiler has no early launches that are known here")
    wait, launch = TritonKernel.GDC_WAIT, TritonKernel.GDC_LAUNCH

    def first_of_all(self: Any, code: Any) -> None:
        if self._enable_pdl_codegen():
            kept = [line for line in code._lines if not _is_call(line)]
            code._lines = [launch, wait, *kept]

    TritonKernel._filter_pdl = first_of_all
    try:
        yield
    finally:
        TritonKernel._filter_pdl = before


def _is_call(line: object) -> bool:
    return isinstance(line, str) and any(call in line for call in _CALLS)
