"""Cold times of matrix-vector products: packed, and the float32 BLAS they are compared with."""

from __future__ import annotations

import numpy as np

from amssim.bench.timing import Timer, copies_for_cold, over_each
from amssim.tensor.packed import PackedTensor
from amssim.tensor.product import gemv, prepare


def packed_s(
    packed: PackedTensor,
    x: np.ndarray,
    *,
    activations: str = "float32",
    threads: int | None = None,
    timer: Timer | None = None,
) -> float:
    """Return the least seconds of ``gemv(packed, x)`` with the words cold in memory.

    Args:
        packed, x, activations, threads: as of `amssim.gemv`.
        timer: of which the least is taken; by default that of all CPU benchmarks.
    """
    copies = [_copy(packed) for _ in range(copies_for_cold(packed.nbytes))]
    for one in copies:
        prepare(one, activations=activations)
    multiply = over_each(lambda p: gemv(p, x, activations=activations, threads=threads), copies)
    return (timer or Timer()).least_s(multiply)


def blas_s(weights: np.ndarray, x: np.ndarray, *, timer: Timer | None = None) -> float:
    """Return the least seconds of the float32 product ``weights @ x`` with cold weights."""
    copies = [weights] + [weights.copy() for _ in range(copies_for_cold(weights.nbytes) - 1)]
    return (timer or Timer()).least_s(over_each(lambda w: w @ x, copies))


def _copy(packed: PackedTensor) -> PackedTensor:
    """The same weights at another place in memory, without what kernels derived from them."""
    p = packed
    return PackedTensor(p.scheme, p.shape, p.words.copy(), p.scales, p.scale_block)
