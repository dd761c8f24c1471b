"""The product of any batch: what a matrix and an operator of another library call.

Memory beside x and out is the caller's, or made by x's library on the stream of the product, so
that its allocator knows of it: inside a CUDA graph it belongs to the graph.
"""

from __future__ import annotations

from typing import Any

from amssim.errors import InputError
from cuda_kernels.arrays import Adopted, adopt, empty, place_of, stream_of
from cuda_kernels.dense.multiply import DENSE_BATCH, LIBRARIES, multiply_dense
from cuda_kernels.dense.panel import write_dense
from cuda_kernels.layouts import NONE, Addresses, KernelLayout
from cuda_kernels.parts.finish import OUT_BYTES
from cuda_kernels.product import MOST_BATCH, ready_product


def linear(
    layout: KernelLayout, weights: Addresses, x: Any, out: Any, *, bias: Any = None,
    workspace: Any = None,
) -> None:  # fmt: skip
    """out[batch, rows] = x[batch, columns] W^T + bias on the current stream of x's library.

    Args:
        layout: of the matrix.
        weights: addresses of its arrays, on the GPU of the layout.
        x: float16 or bfloat16, two-dimensional and contiguous, on that GPU.
        out: float16, bfloat16 or float32, likewise.
        bias: the array at ``weights.bias``; batches of `DENSE_BATCH` and more add it themselves.
        workspace: an array on that GPU, or None to have x's library make one where it is needed:
            for most batches of `workspace_nbytes`, for large ones of x's type, a panel of dense
            rows.

    Raises:
        ResourceError: a kernel is not loaded, and the stream is being captured: see `prepare`.
    """
    source, target = adopt("x", x), adopt("out", out)
    stream, batch = stream_of(source.library, None, layout.device), source.shape[0]
    if batch >= DENSE_BATCH and source.library in LIBRARIES:
        multiply_dense(layout, weights, x, out, stream, bias=bias, panel=workspace)
    elif batch:
        multiply_rows(layout, weights, source, target, stream, workspace)


def multiply_rows(
    layout: KernelLayout, weights: Addresses, x: Adopted, out: Adopted, stream: int,
    workspace: Any = None,
) -> None:  # fmt: skip
    """The same by the package's own kernels, for any batch of at least one row."""
    for first in range(0, x.shape[0], MOST_BATCH):
        count = min(MOST_BATCH, x.shape[0] - first)
        product = ready_product(layout, x.dtype, out.dtype, count, stream)
        source = x.address + 2 * first * layout.columns
        target = out.address + OUT_BYTES[out.dtype] * first * layout.rows
        nbytes = product.workspace_nbytes(source)
        made = workspace
        if nbytes and made is None:
            made = empty(x.library, nbytes, "uint8", layout.device)
        product(stream, weights, source, target, place_of(made) if nbytes else NONE)


def workspace_nbytes(layout: KernelLayout, dtype: str, batch: int) -> int:
    """Bytes that a product of so many rows below `DENSE_BATCH` takes beside x and out.

    0 where x is float16 in rows of whole 16 bytes, and begins at a multiple of 16.
    """
    return ready_product(layout, dtype, dtype, batch).workspace_nbytes(0) if batch else 0


def write_weights(layout: KernelLayout, weights: Addresses, out: Any) -> None:
    """out[rows, columns] = the weights, on the current stream of out's library.

    Args:
        layout, weights: as for `linear`.
        out: contiguous float16, bfloat16 or float32 on the GPU of the layout; each weight is
            rounded to float32 and then to this type.

    Raises:
        InputError: an array of another size or type, or elsewhere.
        ResourceError: a kernel is not loaded, and the stream is being captured.
    """
    target = adopt("out", out)
    if target.shape != layout.shape or target.dtype not in OUT_BYTES:
        raise InputError(
            f"out must be {list(layout.shape)} of float16, bfloat16 or float32, "
            f"found {list(target.shape)} of {target.dtype}"
        )
    if target.device not in (None, layout.device):
        raise InputError(f"out is on GPU {target.device}, {layout} on GPU {layout.device}")
    stream = stream_of(target.library, None, layout.device)
    write_dense(layout, weights, target.dtype, target.address, stream)
