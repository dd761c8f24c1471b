"""Weights on a GPU and what can be done with them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from amssim.errors import InputError
from amssim.scheme import Scheme
from cuda_kernels import driver
from cuda_kernels.arrays import adopt, empty, stream_of
from cuda_kernels.batches import check_x, linear
from cuda_kernels.dense.panel import write_dense
from cuda_kernels.layouts import kernel_layout
from cuda_kernels.product import FormProduct, ready_product
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
        if out is None:
            source = adopt("x", x)
            batch = check_x(self.layout, source)
            shape = (self.shape[0],) if len(source.shape) == 1 else (batch, self.shape[0])
            out = empty(source.library, shape, dtype or source.dtype, self.device)
        bias = self.weights.bias
        linear(self.layout, self._addresses, x, out, bias=bias, stream=stream)
        return out

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
