"""Packed weights on NVIDIA GPUs: `to_gpu` moves a `PackedTensor` there, `gemv` multiplies.

Needs a GPU of compute capability 8.0 or later, its driver and ``pip install 'amssim[cuda]'``.
The kernels, what they cost and what was measured: docs/KERNELS.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from amssim.errors import InputError, ResourceError

if TYPE_CHECKING:
    from amssim.tensor.packed import PackedTensor

OLDEST = 80  # compute capability, times ten


class GpuTensor:
    """A weight matrix on the GPU, made by `to_gpu`.

    Attributes:
        scheme: its number format.
        shape: (rows, columns).
    """

    def __init__(self, packed: PackedTensor, bias: np.ndarray | None = None):
        from cuda_kernels.matrix import Matrix

        self.scheme, self.shape = packed.scheme, packed.shape
        arrays = (packed.words, packed.scales, packed.scale_block)
        self._matrix = Matrix(packed.scheme, packed.shape, *arrays, _check_bias(bias, packed))

    @property
    def nbytes(self) -> int:
        """Bytes on the GPU."""
        return self._matrix.nbytes

    def gemv(self, x: Any, out: Any = None, *, stream: Any = None, dtype: str | None = None) -> Any:
        """Multiply; see `amssim.gpu.gemv`."""
        return self._matrix.gemv(x, out, stream=stream, dtype=dtype)

    def __matmul__(self, x: Any) -> Any:
        """Return the product w @ x with x[columns], as NumPy and PyTorch define it.

        A batch x[batch, columns] stands on the other side: x @ w.T.

        Raises:
            InputError: x has not one dimension.
        """
        if len(getattr(x, "shape", (0,))) != 1:
            raise InputError("w @ x takes x[columns]; for x[batch, columns] call amssim.gpu.gemv")
        return self._matrix.gemv(x)

    @property
    def T(self) -> TransposedGpuTensor:
        """The transposed weights, which stand on the right: x @ w.T is ``gemv(w, x)``."""
        return TransposedGpuTensor(self)

    def dequantize(
        self,
        dtype: str = "float16",
        out: Any = None,
        *,
        stream: Any = None,
        library: str = "numba",
    ) -> Any:
        """Return the weights dtype[rows, columns], each rounded to float32 and then to ``dtype``.

        Args:
            dtype: float16, bfloat16 or float32.
            out: where to write them, an array on the GPU.
            stream: as for `gemv`.
            library: whose array to make where out is None: numba, cupy or torch.
        """
        return self._matrix.dequantize(dtype, out, stream=stream, library=library)

    def to_cpu(self) -> PackedTensor:
        """Return the weights as the `PackedTensor` that they came from; the bias stays behind.

        They are brought back to the canonical layout on the GPU, bit for bit. Bits of the padding,
        which belong to no weight, come back as zeros.
        """
        from amssim.tensor.packed import PackedTensor

        words, scales = self._matrix.to_host()
        return PackedTensor(self.scheme, self.shape, words, scales, self._matrix.scale_block)

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"GpuTensor({self.scheme.name}, {rows}x{columns})"


class TransposedGpuTensor:
    """A `GpuTensor` seen as [columns, rows], to be multiplied from the left.

    Attributes:
        T: the tensor itself.
        shape: (columns, rows).
    """

    __array_ufunc__ = None  # CuPy and NumPy then leave x @ w.T to this class, as PyTorch does

    def __init__(self, tensor: GpuTensor):
        self.T = tensor
        self.shape = tensor.shape[::-1]

    def __rmatmul__(self, x: Any) -> Any:
        """Return out[batch, rows] of x[batch, columns], or out[rows] of x[columns]."""
        return self.T.gemv(x)


def to_gpu(packed: PackedTensor, bias: np.ndarray | None = None) -> GpuTensor:
    """Copy packed weights to the current GPU and bring them to the kernels' word order there.

    Args:
        packed: the weights.
        bias: float32[rows] on the CPU, added to every product.

    Raises:
        ResourceError: no GPU, driver or numba-cuda; the message says what to install.
        InputError: a bias of another shape or type.
    """
    check_available()
    return GpuTensor(packed, bias)


def gemv(
    w: GpuTensor, x: Any, out: Any = None, *, stream: Any = None, dtype: str | None = None
) -> Any:
    """Multiply activations on the GPU by packed weights: out[n] = W x[n] (+ bias).

    ``gemv(w, x)`` is also ``w @ x`` for x[columns] and ``x @ w.T`` for x[batch, columns].

    Up to 64 rows of x take one launch of the tensor-core kernels; more take one launch per 64.
    From 257 rows on, where dense weights win, PyTorch and CuPy arrays take another road by
    themselves: dense rows, 128 MB at a time, and the library's own product. Sums are float32 and
    the result does not depend on timing. Launches can be captured in a CUDA graph; run each batch
    size once before, since a kernel is compiled when it is first needed. Scales per block of a
    multiple of 64 columns (FP4.25) or 48 (FP5.33) take one launch per 8 rows of x. Other schemes
    and blocks take plain kernels.

    bfloat16 activations, and float16 ones whose rows are no whole 16 bytes, are brought to a
    workspace first, which x's library allocates on the stream of the product: inside a captured
    graph it belongs to the graph.

    Args:
        w: weights from `to_gpu`.
        x: float16 or bfloat16, x[columns] or x[batch, columns] in C order on the GPU: anything
            with ``__cuda_array_interface__`` (CuPy, PyTorch, Numba) or, with PyTorch, DLPack. It
            is not copied. A NaN or Inf in it gives what IEEE arithmetic gives.
        out: [rows] or [batch, rows] of float16, bfloat16 or float32, overwritten.
        stream: a CUDA stream of any of these libraries or its handle; None is x's current one.
        dtype: of the result where out is None; that of x by default.

    Returns:
        ``out``, or a new array of x's kind.

    Raises:
        InputError: an argument with the wrong type, shape, place or order.
        ResourceError: a kernel is not loaded, and the stream is being captured.
    """
    if not isinstance(w, GpuTensor):
        raise InputError(
            f"w must be a GpuTensor, found {type(w).__name__}: to_gpu makes one of a PackedTensor"
        )
    return w.gemv(x, out, stream=stream, dtype=dtype)


def check_available() -> None:
    """Raise `ResourceError`, in one sentence that says what to install, if kernels cannot run."""
    try:
        from numba import cuda
    except ImportError:
        raise ResourceError("GPU kernels need numba-cuda: pip install 'amssim[cuda]'") from None
    if getattr(cuda, "implementation", "") != "NVIDIA":
        raise ResourceError(
            "GPU kernels need numba-cuda, found only Numba's built-in CUDA target: "
            "pip install 'amssim[cuda]'"
        )
    from cuda_kernels.driver import current_device, gpu_of

    capability = gpu_of(current_device()).capability
    if capability < OLDEST:
        raise ResourceError(
            f"GPU kernels need compute capability 8.0 or later, found {capability / 10}"
        )


def _check_bias(bias: Any, packed: PackedTensor) -> np.ndarray | None:
    if bias is None:
        return None
    values = np.asarray(bias)
    rows = packed.shape[0]
    if values.dtype != np.float32 or values.shape != (rows,):
        raise InputError(
            f"bias must be float32[{rows}], found {values.dtype.name}{list(values.shape)}"
        )
    return np.ascontiguousarray(values)
