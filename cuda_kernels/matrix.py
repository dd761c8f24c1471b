"""Weights on a GPU and what can be done with them."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from amssim.errors import InputError
from amssim.scheme import Scheme
from cuda_kernels import driver
from cuda_kernels.arrays import Adopted, adopt, current, empty, stream_of, torch_stream
from cuda_kernels.batches import multiply_rows
from cuda_kernels.dense.multiply import DENSE_BATCH, LIBRARIES, multiply_dense
from cuda_kernels.dense.panel import write_dense
from cuda_kernels.layouts import NONE, kernel_layout
from cuda_kernels.product import MOST_BATCH, FormProduct, ReadyProduct, ready_product
from cuda_kernels.weights import DeviceWeights

DTYPES = ("float16", "bfloat16", "float32")


class Matrix:
    """Packed weights on the current GPU, in the kernel form that holds them.

    Args:
        scheme, shape, words, scales, scale_block: as of a `PackedTensor`.
        bias: float32[rows] or None.

    Attributes:
        device: ordinal of the GPU.
        layout: how the weights lie there; `layout.form` is None where only the plain kernels
            serve them.
        weights: their arrays.
    """

    def __init__(
        self, scheme: Scheme, shape: tuple[int, int], words: np.ndarray, scales: np.ndarray,
        scale_block: int | None = None, bias: np.ndarray | None = None,
    ):  # fmt: skip
        self.device = driver.current_device()
        self.scheme, self.shape, self.scale_block = scheme, shape, scale_block
        self.layout = kernel_layout(self.device, scheme, *shape, scale_block)
        self.weights = DeviceWeights(self.layout, words, scales, bias)
        self._addresses = self.weights.addresses
        self._known: dict[tuple[Any, ...], ReadyProduct] = {}

    def elsewhere(self) -> Matrix:
        """The same weights at another place on the GPU, which its caches do not know."""
        other = copy.copy(self)
        other.weights = self.weights.elsewhere()
        other._addresses = other.weights.addresses
        return other

    @property
    def nbytes(self) -> int:
        """Bytes on the GPU of weights, scales and bias."""
        return self.weights.nbytes

    @property
    def word_bytes(self) -> int:
        """Bytes of the weights that a product reads, without scales."""
        tails = self.layout.tails
        return self.layout.words.nbytes + (tails.nbytes if tails else 0)

    def to_host(self) -> tuple[np.ndarray, np.ndarray]:
        """(words, scales) of the canonical layout on the CPU; padding comes back as zeros."""
        return self.weights.to_host()

    # --- the product ----------------------------------------------------------------------------

    def gemv(self, x: Any, out: Any = None, *, stream: Any = None, dtype: str | None = None) -> Any:
        """x[columns] or x[batch, columns] -> out[rows] or out[batch, rows]; see `amssim.gpu`."""
        if out is not None and self._again(x, out, stream):
            return out
        source = adopt("x", x)
        batch = self._check_x(source)
        if out is None:
            shape = (self.shape[0],) if len(source.shape) == 1 else (batch, self.shape[0])
            out = empty(source.library, shape, dtype or source.dtype, self.device)
        target = adopt("out", out)
        self._check_out(target, source, batch)
        if batch == 0:
            return out
        with self._on(source.library, stream):
            queue = stream_of(source.library, stream, self.device)
            if batch >= DENSE_BATCH and source.library in LIBRARIES:
                bias = self._bias_of(source.library)
                multiply_dense(self.layout, self._addresses, x, out, queue, bias=bias)
                return out
            rows = source._replace(shape=(batch, self.shape[1]))
            multiply_rows(self.layout, self._addresses, rows, target, queue)
        if source.library == target.library == "torch" and batch <= MOST_BATCH:
            product = ready_product(self.layout, source.dtype, target.dtype, batch)
            self._known[x.dtype, x.shape, out.dtype, out.shape] = product
        return out

    def _on(self, library: str, stream: Any) -> AbstractContextManager[None]:
        """Where x's library allocates: PyTorch's tensors know their GPU themselves."""
        if stream is None and library != "cupy":
            return nullcontext()
        return current(library, stream, self.device)

    def _again(self, x: Any, out: Any, stream: Any) -> bool:
        """Launch what PyTorch tensors of these types and shapes have launched before.

        Half of the host's time for a product went into looking at its arguments.

        Returns:
            False if they have not, or must be looked at again.
        """
        try:
            product = self._known[x.dtype, x.shape, out.dtype, out.shape]
            here = x.get_device() == self.device == out.get_device()
        except (KeyError, AttributeError, TypeError):
            return False
        if not (here and x.is_contiguous() and out.is_contiguous()):
            return False
        source, single = x.data_ptr(), product.single
        if single is None or source % 16:
            return self._again_by_product(product, x, out, stream)
        queue = stream_of("torch", stream, self.device) if stream else torch_stream()(self.device)
        single(queue, self._addresses, source, NONE, out.data_ptr())
        return True

    def _again_by_product(self, product: ReadyProduct, x: Any, out: Any, stream: Any) -> bool:
        """The same where it takes a workspace, or several launches."""
        nbytes = product.workspace_nbytes(x.data_ptr())
        if nbytes and stream is not None:  # PyTorch must know the stream of the workspace
            return False
        workspace = x.new_empty(nbytes // 2) if nbytes else None  # held until it is launched
        place = NONE if workspace is None else workspace.data_ptr()
        queue = stream_of("torch", stream, self.device)
        product(queue, self._addresses, x.data_ptr(), out.data_ptr(), place)
        return True

    def _bias_of(self, library: str) -> Any:
        bias = self.weights.bias
        if bias is None:
            return None
        if library == "torch":
            import torch

            return torch.as_tensor(bias, device=f"cuda:{self.device}")
        import cupy

        return cupy.asarray(bias)

    def _check_x(self, x: Adopted) -> int:
        rows, columns = self.shape
        if x.device not in (None, self.device):
            raise InputError(f"x is on GPU {x.device}, the weights are on GPU {self.device}")
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

    def _check_out(self, out: Adopted, x: Adopted, batch: int) -> None:
        if out.device not in (None, self.device):
            raise InputError(f"out is on GPU {out.device}, the weights are on GPU {self.device}")
        shape = (self.shape[0],) if len(x.shape) == 1 else (batch, self.shape[0])
        if out.shape != shape or out.dtype not in DTYPES:
            raise InputError(
                f"out must be {list(shape)} of float16, bfloat16 or float32, "
                f"found {list(out.shape)} of {out.dtype}"
            )

    def launch_call(self, batch: int, *, dtype: str = "float16") -> Any:
        """The driver's launch of the product with x and out of ``dtype``, as it was last made.

        What a product costs the host beyond this call is this package's.

        Raises:
            InputError: no kernel form holds the weights.
        """
        product = ready_product(self.layout, dtype, dtype, batch)
        if not isinstance(product, FormProduct):
            raise InputError(f"no kernel form holds {self.scheme.name}")
        return product.parts[0][0].driver_call

    # --- dense weights --------------------------------------------------------------------------

    def dequantize(
        self,
        dtype: str = "float16",
        out: Any = None,
        *,
        stream: Any = None,
        library: str = "numba",
    ) -> Any:
        """The weights, dtype[rows, columns], each rounded to float32 and then to ``dtype``."""
        if dtype not in DTYPES:
            raise InputError(f"dtype must be one of {', '.join(DTYPES)}, found {dtype!r}")
        rows, columns = self.shape
        if out is None:
            out = empty(library, (rows, columns), dtype, self.device)
        target = adopt("out", out)
        if target.shape != (rows, columns) or target.dtype != dtype:
            raise InputError(f"out must be {dtype}[{rows}, {columns}]")
        queue = stream_of(target.library, stream, self.device)
        write_dense(self.layout, self._addresses, dtype, target.address, queue)
        return out
