"""Weights on a GPU and what can be done with them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from amssim.errors import InputError
from amssim.scheme import Scheme
from cuda_kernels import driver
from cuda_kernels.arrays import Adopted, address_of, adopt, empty, stream_of, to_device
from cuda_kernels.dense.weights import DenseWeights, multiply_dense
from cuda_kernels.plain.product import Plain
from cuda_kernels.product import Products, ReadyProduct
from cuda_kernels.weights import NONE, FormWeights, form_weights

DTYPES = ("float16", "bfloat16", "float32")
#: from this batch on, dense weights and the library's own product are faster (H200, cuBLAS)
DENSE_BATCH = 257


class Matrix:
    """Packed weights on the current GPU, in the kernel form that holds them.

    Args:
        scheme, shape, words, scales, scale_block: as of a `PackedTensor`.
        bias: float32[rows] or None.

    Attributes:
        device: ordinal of the GPU.
        weights: in that form, or None where only the plain kernels serve them.
    """

    def __init__(
        self, scheme: Scheme, shape: tuple[int, int], words: np.ndarray, scales: np.ndarray,
        scale_block: int | None = None, bias: np.ndarray | None = None,
    ):  # fmt: skip
        self.device = driver.current_device()
        self.scheme, self.shape, self.scale_block = scheme, shape, scale_block
        self._scales = to_device(scales)
        self._bias = None if bias is None else to_device(bias)
        canonical = to_device(words)
        rows_on_gpu = (self._scales, self._bias)
        held = (self.device, scheme, shape, canonical, scales, scale_block, rows_on_gpu)
        self.weights = form_weights(*held)
        self._products: Products | Plain
        self._dense: DenseWeights | Plain
        bias_at = NONE if self._bias is None else address_of(self._bias)
        where = (canonical, self._scales, scale_block, bias_at)
        if self.weights is None:
            self._products = self._dense = Plain(self.device, scheme, shape, *where)
        elif shape[1] % 8 or scale_block is not None:
            self._dense = Plain(self.device, scheme, shape, *where)
        else:
            self._dense = DenseWeights(self.weights)
        self._launch_by(self.weights)

    def _launch_by(self, weights: FormWeights | None) -> None:
        """Have launches of one's own, of these weights."""
        self.weights = weights
        if weights is not None:
            self._products = Products(weights)
            if isinstance(self._dense, DenseWeights):
                self._dense = DenseWeights(weights)
        self._known: dict[tuple[Any, ...], ReadyProduct] = {}

    def elsewhere(self) -> Matrix:
        """The same weights at another place on the GPU, which its caches do not know.

        Raises:
            InputError: no kernel form holds them.
        """
        if self.weights is None:
            raise InputError(f"no kernel form holds {self.scheme.name}")
        other = copy.copy(self)
        other._launch_by(self.weights.elsewhere())
        return other

    @property
    def nbytes(self) -> int:
        """Bytes on the GPU of weights and scales."""
        in_form = self.weights.nbytes if self.weights else 0
        rows = [int(array.nbytes) for array in (self._scales, self._bias) if array is not None]
        return in_form + self._dense.nbytes + sum(rows)

    @property
    def word_bytes(self) -> int:
        """Bytes of the weights that a product reads, without scales; 0 if no form holds them."""
        return self.weights.form.nbytes(*self.shape) if self.weights else 0

    def to_host(self) -> tuple[np.ndarray, np.ndarray]:
        """(words, scales) of the canonical layout on the CPU; padding comes back as zeros."""
        canonical = self._dense.canonical(self.scheme)
        return canonical.copy_to_host(), self._scales.copy_to_host()

    # --- the product ----------------------------------------------------------------------------

    def gemv(self, x: Any, out: Any = None, *, stream: Any = None, dtype: str | None = None) -> Any:
        """x[columns] or x[batch, columns] -> out[rows] or out[batch, rows]; see `amssim.gpu`."""
        if out is not None and self._again(x, out, stream):
            return out
        source = adopt("x", x)
        batch = self._check_x(source)
        if out is None:
            shape = (self.shape[0],) if len(source.shape) == 1 else (batch, self.shape[0])
            out = empty(source.library, shape, dtype or source.dtype)
        target = adopt("out", out)
        self._check_out(target, source, batch)
        queue = stream_of(source.library, stream, self.device)
        if batch == 0:
            return out
        if self.weights and batch >= DENSE_BATCH and source.library in ("torch", "cupy"):
            whole = self.dequantize(source.dtype, library=source.library)
            multiply_dense(x, out, whole, self._bias, source.library)
            return out
        product = self._products.multiply(source, target, batch, queue)
        if product is not None and source.library == target.library == "torch":
            self._known[x.dtype, x.shape, out.dtype, out.shape] = product
        return out

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
        queue = stream_of("torch", stream, self.device)
        product(queue, x.data_ptr(), out.data_ptr())
        return True

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
        if isinstance(self._products, Plain):
            raise InputError(f"no kernel form holds {self.scheme.name}")
        return self._products.product(dtype, dtype, batch).launch.driver_call

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
            out = empty(library, (rows, columns), dtype)
        target = adopt("out", out)
        if target.shape != (rows, columns) or target.dtype != dtype:
            raise InputError(f"out must be {dtype}[{rows}, {columns}]")
        queue = stream_of(target.library, stream, self.device)
        self._dense.write(target, queue)
        return out
