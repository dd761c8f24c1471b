"""Cold times of matrix-vector products: packed, and the float32 BLAS they are compared with."""

from __future__ import annotations

import numpy as np

from amssim.bench.timing import REPEATS, best_s, copies_for_cold, over_each
from amssim.tensor.packed import PackedTensor
from amssim.tensor.product import gemv, prepare


def packed_s(
    packed: PackedTensor, x, activations="float32", *, threads=None, repeats=REPEATS
) -> float:
    """Least seconds of ``gemv(packed, x, activations)`` with the words cold in memory."""
    copies = [_copy(packed) for _ in range(copies_for_cold(packed.nbytes))]
    for one in copies:
        prepare(one, activations)
    call = over_each(lambda p: gemv(p, x, activations, threads=threads), copies)
    return best_s(call, repeats=repeats)


def blas_s(weights: np.ndarray, x, *, repeats=REPEATS) -> float:
    """Least seconds of the float32 product ``weights @ x`` with the weights cold in memory."""
    copies = [weights] + [weights.copy() for _ in range(copies_for_cold(weights.nbytes) - 1)]
    return best_s(over_each(lambda w: w @ x, copies), repeats=repeats)


def _copy(packed: PackedTensor) -> PackedTensor:
    p = packed
    return PackedTensor(p.scheme, p.shape, p.words.copy(), p.scales, p.scale_block)
