"""The product of a packed matrix with a vector or a batch, on the CPU."""

from __future__ import annotations

import numpy as np

from amssim._threads import thread_count
from amssim.cpu import avx2, plain
from amssim.cpu.activations import Quantized, as_columns, check_activations, quantize_columns
from amssim.cpu.features import uses_avx2
from amssim.cpu.layouts import rows_of
from amssim.errors import InputError
from amssim.tensor.packed import PackedTensor

# Waking a thread takes about 40 us, in which one thread does this many multiplications.
_PRODUCTS_PER_THREAD = 1 << 20


def gemv(
    packed: PackedTensor, x, activations: str = "float32", *, threads: int | None = None
) -> np.ndarray:
    """Multiply a packed matrix by x, reading the packed weights.

    Args:
        packed: the weights.
        x: [columns] or [columns, batch] in float16, bfloat16, float32 or float64, of any strides;
            it is converted to float32 first.
        activations: ``float32``, or ``int16`` or ``int8`` to quantise every column of x, q =
            round(x / s) with s = max|x| / 32512 or max|x| / 127, and add up whole numbers.
        threads: how many may run, None for every CPU of this process; small products take fewer.

    Returns:
        float32[rows] or float32[rows, batch]. A column of a batch has the bits that it has alone,
        and so it is for every number of threads.

        With integer activations the sum over a row is exact, and the result is
        float32(sum v q) * s * scale for values v, rounded after each step from left to right;
        with a scale per block such terms are added in float32. Every CPU computes the same bits.

        With float32 activations the published schemes with a scale per row have an order of
        additions that is the same on every CPU with AVX2, and an error of at most
        (54 + columns / 1536) 2^-24 sum |w x| + 2^-135 columns scale. Others, and other CPUs, add
        in float64 within a block: at most (3 + blocks) 2^-24 sum |w x|. NaN and Inf in x give what
        IEEE 754 arithmetic gives. The environment variable AMSSIM_CPU=plain forces the latter.

    Raises:
        InputError: an argument of the wrong type, dtype, shape or value; NaN or Inf in x with
            integer activations.
        UnsupportedError: integer activations and rows of more than a million columns, in schemes
            with four exponent bits and without AVX2 kernels.

    >>> import amssim, numpy as np
    >>> packed = amssim.quantize(np.float32([[0.625, -1.125, 7.5], [7.5, 0.125, -0.375]]), "fp5.33")
    >>> gemv(packed, np.float32([2, 1, 1]))
    array([ 7.625, 14.75 ], dtype=float32)
    >>> gemv(packed, np.float32([[2, 0], [1, 0], [1, 1]]), "int16")[:, 1]
    array([ 7.5  , -0.375], dtype=float32)
    """
    _check_packed(packed)
    check_activations(activations)
    threads = thread_count(threads)
    columns = as_columns(x, packed.shape[1])
    products = packed.shape[0] * columns.size
    threads = min(threads, 1 + products // _PRODUCTS_PER_THREAD)
    y = _product(packed, columns, activations, threads)
    return y.reshape(-1) if np.ndim(x) == 1 else y


def prepare(packed: PackedTensor, activations: str = "float32") -> None:
    """Do now what the first product with ``packed`` would do once: its own word order in memory.

    That order takes as many bytes again as the words, for FP5.33 with AVX2; nothing else does.

    Raises:
        InputError: not a packed tensor, or unknown activations.
    """
    _check_packed(packed)
    check_activations(activations)
    if uses_avx2(packed):
        rows_of(packed)


def _product(packed: PackedTensor, x: np.ndarray, activations: str, threads: int) -> np.ndarray:
    """float32[rows, n] of float32[n, columns]."""
    fast = uses_avx2(packed)
    if activations == "float32":
        if fast:
            return avx2.float_product(packed, x, threads)
        return plain.product(packed, Quantized(x, np.ones(len(x), np.float32)), threads)
    quantized = quantize_columns(x, activations)
    if fast:
        return avx2.integer_product(packed, quantized, activations, threads)
    plain.check_exact(packed, activations)
    return plain.product(packed, quantized, threads)


def _check_packed(packed: PackedTensor) -> None:
    if not isinstance(packed, PackedTensor):
        found = type(packed).__name__
        raise InputError(f"the matrix must be a PackedTensor, found {found}: quantize it first")
