"""Products by the AVX2 kernels: which matrices have them, and passes over the rows."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np
from numba.core.registry import cpu_target

from amssim._threads import over_rows
from amssim.cpu import kernels
from amssim.cpu.kernels import VECTOR_FORMS
from amssim.cpu.operands import Activations, VectorForm, aligned, float_operand, integer_operand
from amssim.errors import InputError, ResourceError
from amssim.scheme import Scheme

#: ``plain`` never takes the AVX2 kernels, ``avx2`` fails where the CPU lacks them; ``auto``, or
#: unset, takes them where it can.
VARIABLE = "AMSSIM_CPU"
_CHOICES = ("auto", "avx2", "plain")
# F16C turns halves into floats; FMA is what makes the float sums the same bits on every such CPU.
_NEEDED = ("avx2", "f16c", "fma")

# Rows of x that share a pass over the weights; each width is compiled on its own. Of int16, four
# with 4096 items each are what the first cache holds.
_PASS_WIDTHS = {"int8": (8, 4, 2, 1), "int16": (4, 2, 1)}
# Up to here one pass per row of x is faster than decoding weights to memory, by measurement.
_FLOAT_PASSES = 2
# Wider batches are taken in parts whose x stays in the second cache. At 64 rows that is as fast
# as dequantising and BLAS; at 256 BLAS takes 0.7 of the time, with sums in an order of its own.
_FLOAT_BATCH = 64


def vector_form(scheme: Scheme, scale_block: int | None) -> VectorForm | None:
    """Return the form that the AVX2 kernels read here and now, or None where they do not serve.

    They serve the published schemes with a scale per row (``scale_block`` is None).

    Raises:
        InputError: `VARIABLE` has an unknown value.
        ResourceError: it asks for AVX2 on a CPU without.
    """
    choice = os.environ.get(VARIABLE) or "auto"
    if choice not in _CHOICES:
        raise InputError(f"{VARIABLE} is {choice!r}: choose one of {', '.join(_CHOICES)}")
    if choice == "avx2" and missing_features():
        raise ResourceError(
            f"{VARIABLE}=avx2 needs a CPU with {', '.join(missing_features())}: unset it"
        )
    if choice == "plain" or scale_block is not None or missing_features():
        return None
    return VECTOR_FORMS.get(scheme)


@cache
def missing_features() -> tuple[str, ...]:
    """Return what the AVX2 kernels need and the CPU that Numba compiles for does not have."""
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    present = set(features.split(","))
    return tuple(name for name in _NEEDED if f"+{name}" not in present)


def float_product(
    rows: Any, scales: np.ndarray, form: VectorForm, x: np.ndarray, threads: int
) -> np.ndarray:
    """Return the products float32[n, rows] with x float32[n, columns].

    Args:
        rows: the weights, ``form.rows``.
        scales: float32[rows, 1].
        form: that of the rows.
        x: the right-hand sides.
        threads: how many take part.
    """
    x = float_operand(x, form)
    y = np.empty((len(x), len(rows.words)), np.float32)

    def one_by_one(start: int, stop: int) -> None:
        for n, row in enumerate(x):
            kernels.add_up_floats(rows, scales, row, n, y, start, stop)

    def by_threes(start: int, stop: int) -> None:
        room = aligned((kernels.ROWS_AT_ONCE, x.shape[1]), np.float32)
        for n in range(0, len(x), _FLOAT_BATCH):
            width = min(_FLOAT_BATCH, len(x) - n)
            partial = np.empty((kernels.ROWS_AT_ONCE, width), np.float32)
            kernels.add_up_floats_by_threes(rows, scales, x, n, room, partial, y, start, stop)

    over_rows(one_by_one if len(x) <= _FLOAT_PASSES else by_threes, len(rows.words), threads)
    return y


def integer_product(
    rows: Any, scales: np.ndarray, form: VectorForm, x: Activations, kind: str, threads: int
) -> np.ndarray:
    """Return the products float32[n, rows] with n rows of x quantised to ``kind``.

    The other arguments are those of `float_product`.
    """
    operand, sums = integer_operand(x.steps, form, kind)
    unit, base = np.float32(form.scheme.minifloat.min_subnormal), -form.offset * sums
    y = np.empty((len(operand), len(rows.words)), np.float32)

    def work(start: int, stop: int) -> None:
        room = np.empty(_PASS_WIDTHS[kind][0], np.int64)
        numbers = kernels.INTEGER_CHUNK[kind], unit, base, x.scale, room, y
        n = 0
        while n < len(operand):
            width = next(w for w in _PASS_WIDTHS[kind] if w <= len(operand) - n)
            some = tuple(operand[n : n + width])
            kernels.add_up_integers(rows, scales, some, n, *numbers, start, stop)
            n += width

    over_rows(work, len(rows.words), threads)
    return y
