"""Large batches: dense weights made panel by panel, and the library's own product with each."""

from __future__ import annotations

from typing import Any

from amssim.launch.geometry import TILE_ROWS
from cuda_kernels.arrays import empty, place_of
from cuda_kernels.dense.panel import PANEL_MOST_ROWS, dense_panel
from cuda_kernels.layouts import Addresses, KernelLayout

#: from this batch on, dense weights and the library's own product are faster (H200, cuBLAS)
DENSE_BATCH = 257
#: of a panel, unless the caller gives another; 28672x4096 at batch 257 takes 231 us on an H200 with
#: 64 MB, 175 with 128 MB and 181 as a whole
PANEL_BYTES = 1 << 27
LIBRARIES = ("torch", "cupy")  # that have a product of their own


def panel_rows(layout: KernelLayout, nbytes: int = PANEL_BYTES) -> int:
    """Rows of float16 or bfloat16 that a panel of so many bytes holds, whole row tiles."""
    fitting = nbytes // (2 * layout.columns) // TILE_ROWS * TILE_ROWS
    whole = -(-layout.rows // TILE_ROWS) * TILE_ROWS
    return max(TILE_ROWS, min(fitting, whole, PANEL_MOST_ROWS))


def panel_counts(layout: KernelLayout, nbytes: int = PANEL_BYTES) -> set[int]:
    """Rows of the panels of a product: of most of them, and of the last."""
    several = panel_rows(layout, nbytes)
    return {min(several, layout.rows - first) for first in range(0, layout.rows, several)}


def multiply_dense(
    layout: KernelLayout, weights: Addresses, x: Any, out: Any, stream: int, *,
    bias: Any = None, panel: Any = None,
) -> None:  # fmt: skip
    """out = x W^T + bias, on the library's current stream, which must be ``stream``.

    Args:
        layout, weights: of the matrix.
        x, out: two-dimensional arrays of PyTorch or CuPy.
        bias: float32[rows] on the same GPU, or None.
        panel: an array of x's type for at least 16 dense rows, or None to make one.
    """
    library = "torch" if hasattr(x, "is_cuda") else "cupy"
    dtype = str(x.dtype).removeprefix("torch.")
    if panel is None:
        size = panel_rows(layout) * layout.columns
        panel = empty(library, size, dtype, layout.device)
    bias = None if bias is None else _adopted(library, bias, layout.device)
    flat = panel.reshape(-1)
    several = panel_rows(layout, 2 * flat.shape[0])
    for first in range(0, layout.rows, several):
        count = min(several, layout.rows - first)
        dense_panel(layout, dtype, count, stream)(stream, weights, first, place_of(flat))
        dense = flat[: count * layout.columns].reshape(count, layout.columns)
        part = slice(first, first + count)
        _multiply(x, dense, out[:, part], None if bias is None else bias[part])


def _adopted(library: str, array: Any, device: int) -> Any:
    """The same memory as an array of ``library``."""
    if library == "torch":
        import torch

        return torch.as_tensor(array, device=f"cuda:{device}")
    import cupy

    return cupy.asarray(array)


def _multiply(x: Any, dense: Any, out: Any, bias: Any) -> None:
    if bias is None and hasattr(x, "is_cuda") and x.dtype == out.dtype:
        import torch

        torch.mm(x, dense.t(), out=out)
        return
    product = x @ dense.T
    if bias is not None:
        product = product + bias
    out[...] = product
