"""The product of any batch: what a matrix and an operator of another library call.

Memory beside x and out is the caller's, or made by x's library on the stream of the product, so
that its allocator knows of it: inside a CUDA graph it belongs to the graph.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from amssim.errors import InputError
from cuda_kernels.arrays import (
    Adopted,
    adopt,
    current,
    empty,
    place_of,
    stream_of,
    torch_stream,
)
from cuda_kernels.dense.multiply import DENSE_BATCH, LIBRARIES, multiply_dense
from cuda_kernels.dense.panel import write_dense
from cuda_kernels.layouts import NONE, Addresses, KernelLayout
from cuda_kernels.parts.finish import OUT_BYTES
from cuda_kernels.product import MOST_BATCH, ReadyProduct, ready_product

#: products of PyTorch's tensors by layout, and types and shapes as PyTorch has them
_KNOWN: dict[tuple[Any, ...], ReadyProduct] = {}


def linear(
    layout: KernelLayout, weights: Addresses, x: Any, out: Any, *, bias: Any = None,
    workspace: Any = None, stream: Any = None,
) -> None:  # fmt: skip
    """out[batch, rows] = x[batch, columns] W^T + bias, or out[rows] of x[columns].

    Args:
        layout: of the matrix.
        weights: addresses of its arrays, on the GPU of the layout.
        x: float16 or bfloat16, contiguous, on that GPU.
        out: float16, bfloat16 or float32, likewise.
        bias: the array at ``weights.bias``; batches of `DENSE_BATCH` and more add it themselves.
        workspace: an array on that GPU, or None to have x's library make one where it is needed:
            for most batches of `workspace_nbytes`, for large ones of x's type, a panel of dense
            rows.
        stream: a CUDA stream of any library or its handle; None is x's current one.

    Raises:
        InputError: an argument with the wrong type, shape, place or order.
        ResourceError: a kernel is not loaded, and the stream is being captured: see `prepare`.
    """
    if workspace is None and _again(layout, weights, x, out, stream):
        return
    source, target = adopt("x", x), adopt("out", out)
    batch = check_x(layout, source)
    _check_out(layout, target, source, batch)
    library = source.library
    with _on(library, stream, layout.device):
        queue = stream_of(library, stream, layout.device)
        if batch >= DENSE_BATCH and library in LIBRARIES:
            multiply_dense(layout, weights, x, out, queue, bias=bias, panel=workspace)
            return
        rows = source._replace(shape=(batch, layout.columns))
        multiply_rows(layout, weights, rows, target, queue, workspace)
    if library == target.library == "torch" and 0 < batch <= MOST_BATCH:
        product = ready_product(layout, source.dtype, target.dtype, batch)
        _KNOWN[layout, x.dtype, x.shape, out.dtype, out.shape] = product


def _on(library: str, stream: Any, device: int) -> AbstractContextManager[None]:
    """Where x's library allocates: PyTorch's tensors know their GPU themselves."""
    if stream is None and library != "cupy":
        return nullcontext()
    return current(library, stream, device)


def _again(layout: KernelLayout, weights: Addresses, x: Any, out: Any, stream: Any) -> bool:
    """Launch what PyTorch tensors of these types and shapes have launched before.

    Half of the host's time for a product went into looking at its arguments.

    Returns:
        False if they have not, or must be looked at again.
    """
    try:
        product = _KNOWN[layout, x.dtype, x.shape, out.dtype, out.shape]
        here = x.get_device() == layout.device == out.get_device()
    except (KeyError, AttributeError, TypeError):
        return False
    if not (here and x.is_contiguous() and out.is_contiguous()):
        return False
    source, single = x.data_ptr(), product.single
    if single is None or source % 16:
        return _again_by_product(layout, weights, product, x, out, stream)
    own = stream is None
    queue = torch_stream()(layout.device) if own else stream_of("torch", stream, layout.device)
    single(queue, weights, source, NONE, out.data_ptr())
    return True


def _again_by_product(
    layout: KernelLayout, weights: Addresses, product: ReadyProduct, x: Any, out: Any, stream: Any
) -> bool:
    """The same where it takes a workspace, or several launches."""
    nbytes = product.workspace_nbytes(x.data_ptr())
    if nbytes and stream is not None:  # PyTorch must know the stream of the workspace
        return False
    workspace = x.new_empty(nbytes // 2) if nbytes else None  # held until it is launched
    place = NONE if workspace is None else workspace.data_ptr()
    queue = stream_of("torch", stream, layout.device)
    product(queue, weights, x.data_ptr(), out.data_ptr(), place)
    return True


def check_x(layout: KernelLayout, x: Adopted) -> int:
    """The batch of x, 1 of a vector.

    Raises:
        InputError: a wrong shape or type, or another GPU.
    """
    rows, columns = layout.shape
    if x.device not in (None, layout.device):
        raise InputError(f"x is on GPU {x.device}, the weights are on GPU {layout.device}")
    if x.dtype not in ("float16", "bfloat16"):
        raise InputError(f"x must be float16 or bfloat16, found {x.dtype}")
    if len(x.shape) not in (1, 2) or x.shape[-1] != columns:
        raise InputError(
            f"x must be [{columns}] or [batch, {columns}] for weights of {rows}x{columns}, "
            f"found {list(x.shape)}"
        )
    batch = 1 if len(x.shape) == 1 else x.shape[0]
    if batch * max(rows, columns) >= 2**31:
        raise InputError(f"a batch of {batch} needs 2^31 elements or more: split it")
    return batch


def _check_out(layout: KernelLayout, out: Adopted, x: Adopted, batch: int) -> None:
    if out.device not in (None, layout.device):
        raise InputError(f"out is on GPU {out.device}, the weights are on GPU {layout.device}")
    shape = (layout.rows,) if len(x.shape) == 1 else (batch, layout.rows)
    if out.shape != shape or out.dtype not in OUT_BYTES:
        raise InputError(
            f"out must be {list(shape)} of float16, bfloat16 or float32, "
            f"found {list(out.shape)} of {out.dtype}"
        )


def multiply_rows(
    layout: KernelLayout, weights: Addresses, x: Adopted, out: Adopted, stream: int,
    workspace: Any = None,
) -> None:  # fmt: skip
    """The same by the package's own kernels, for x[batch, columns] of any batch."""
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
