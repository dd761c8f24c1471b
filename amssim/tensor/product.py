"""Products of a packed matrix with vectors and batches, on the CPU."""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from amssim._checks import find_wrong
from amssim._tensors import as_given
from amssim._threads import product_threads, thread_count
from amssim.cpu.avx2 import float_product, integer_product, vector_form
from amssim.cpu.operands import ACTIVATIONS, Activations, VectorForm, quantize_activations
from amssim.cpu.plain import check_exact, plain_product
from amssim.errors import InputError
from amssim.tensor._checks import check_batch
from amssim.tensor.packed import PackedTensor


@overload
def gemv(
    packed: PackedTensor, x: np.ndarray, *, activations: str = ..., threads: int | None = ...
) -> np.ndarray: ...
@overload
def gemv(
    packed: PackedTensor, x: Any, *, activations: str = ..., threads: int | None = ...
) -> Any: ...
def gemv(
    packed: PackedTensor, x: Any, *, activations: str = "float32", threads: int | None = None
) -> Any:
    """Multiply x by a packed matrix, reading the packed weights: out[b] = W x[b].

    Args:
        packed: the weights W[rows, columns].
        x: [columns] or [batch, columns] in float16, bfloat16, float32 or float64, of any strides;
            it is converted to float32 first. An array, or a tensor of PyTorch on the CPU.
        activations: ``float32``, or ``int16`` or ``int8`` to quantise every row of x, q =
            round(x / s) with s = max|x| / 32512 or max|x| / 127, and add up whole numbers.
        threads: how many may run, None for every CPU of this process; small products take fewer.

    Returns:
        float32[rows] or float32[batch, rows], a tensor where x is one. A row of a batch has the
        bits that it has alone, and so it is for every number of threads.

        With integer activations the sum over a row of W is exact, and the result is
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
    >>> gemv(packed, np.float32([[2, 1, 1], [0, 0, 1]]), activations="int16")[1]
    array([ 7.5  , -0.375], dtype=float32)
    """
    _check_packed(packed)
    _check_activations(activations)
    threads = thread_count(threads)
    batch = check_batch(x, packed.shape[1])
    out = _product(packed, batch, activations, threads)
    return as_given(out.reshape(-1) if np.ndim(x) == 1 else out, x)


def prepare(packed: PackedTensor, *, activations: str = "float32") -> None:
    """Do now what the first product with ``packed`` would do once: its own word order in memory.

    That order takes as many bytes again as the words, for FP5.33 with AVX2; nothing else does.

    Raises:
        InputError: not a packed tensor, or unknown activations.
    """
    _check_packed(packed)
    _check_activations(activations)
    form = vector_form(packed.scheme, packed.scale_block)
    if form:
        _kernel_rows(packed, form)


def _product(packed: PackedTensor, x: np.ndarray, activations: str, threads: int) -> np.ndarray:
    """float32[n, rows] of float32[n, columns]."""
    threads = product_threads(threads, packed.shape[0] * x.size)
    form = vector_form(packed.scheme, packed.scale_block)
    if activations == "float32":
        if form:
            return float_product(_kernel_rows(packed, form), packed.scales, form, x, threads)
        operand = Activations.as_they_are(x)
    else:
        operand = _check_steps_finite(x, quantize_activations(x, activations), activations)
        if form:
            rows = _kernel_rows(packed, form)
            return integer_product(rows, packed.scales, form, operand, activations, threads)
        check_exact(packed.scheme, packed.shape[1], packed.scale_block, activations)
    matrix = packed.words, packed.scales, packed.scheme, packed.scale_block
    return plain_product(*matrix, operand, threads)


def _kernel_rows(packed: PackedTensor, form: VectorForm) -> Any:
    """Return the rows as the AVX2 kernels read them; they are made once and kept."""
    if "cpu rows" not in packed.derived:
        packed.derived["cpu rows"] = form.rows_of(packed.words)
    return packed.derived["cpu rows"]


def _check_packed(packed: PackedTensor) -> None:
    if not isinstance(packed, PackedTensor):
        raise InputError(
            f"the matrix must be a PackedTensor, found {type(packed).__name__}: quantize it first"
        )


def _check_activations(activations: str) -> str:
    """Return ``activations`` if it is one of `ACTIVATIONS`, else raise `InputError`."""
    if activations in ACTIVATIONS:
        return activations
    raise InputError(f"unknown activations {activations!r}: choose one of {', '.join(ACTIVATIONS)}")


def _check_steps_finite(x: np.ndarray, quantized: Activations, activations: str) -> Activations:
    """Return ``quantized`` unless its scales, which are not finite where x was not, tell of such.

    Raises:
        InputError: NaN or Inf in x, float32[batch, columns].
    """
    if np.isfinite(quantized.scale).all():
        return quantized
    count, (row, column) = find_wrong([((0,), x)])
    raise InputError(
        f"x holds NaN, Inf or numbers beyond float32 (count {count}, the first in row {row}, "
        f"column {column}): {activations} activations need finite numbers"
    )
