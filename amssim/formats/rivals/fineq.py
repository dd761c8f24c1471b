"""FineQ: clusters of three weights with b bits each, or two with 3b/2 bits and one dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from amssim.errors import SchemeError
from amssim.formats.base import Format, MatrixShape, Parts, StoredPart
from amssim.formats.input_moments import InputMoments
from amssim.formats.rivals.fineq_kernels import choose_states
from amssim.formats.rounding.blocks import absmax, block_count, check_positive, half_scales
from amssim.formats.rounding.table import least

_CLUSTER, _PAIR = 3, 6
#: Scales tried, relative to the one at which a normal weight's integer reaches the row's maximum.
FINEQ_FACTORS = tuple((100 - 2 * i) / 100 for i in range(46))


@dataclass(frozen=True, kw_only=True)
class FineQ(Format):
    """Clusters of three weights in 3b bits; two clusters, six weights, share a 2-bit state.

    In state 0 each of the three weights has b bits. In state n = 1, 2 or 3 the n-th weight of
    both clusters is dropped to 0 and the other two have 3b/2 bits each. All weights of a row are
    multiples of one float16 scale. States and scale are those of the least squared error,
    weighted by the inputs' second moments.

    >>> FineQ(bits=2).bits_per_weight((1, 4096 * 6)) - (16 / (4096 * 6)) == 7 / 3
    True
    """

    family: ClassVar[str] = "integer"
    formula: ClassVar[str] = "b + 1/3 + 16/cols"
    source: ClassVar[str] = "FineQ, arXiv 2504.19746"
    simplified: ClassVar[str] = (
        "built from the abstract alone (2 bits, 3 for outliers, index and data in one): clusters "
        "of 3 and 24 weights in 7 bytes are unconfirmed; states by least error; b above 2 is ours"
    )
    checked: ClassVar[str] = "brute force over the states in numpy"
    uses: ClassVar[str] = "diagonal"

    bits: int = 2

    def __post_init__(self) -> None:
        check_positive(bits=self.bits)
        if self.bits not in (2, 4):
            raise SchemeError(f"fineq takes 2 or 4 bits, found {self.bits}")

    @property
    def name(self) -> str:
        """Such as ``fineq2``."""
        return f"fineq{self.bits}"

    @property
    def limits(self) -> tuple[int, int]:
        """Largest integer of a weight with b bits, and of one with 3b/2."""
        return 2 ** (self.bits - 1) - 1, 2 ** (3 * self.bits // 2 - 1) - 1

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return six weights' bits in one, their states, and the rows' scales."""
        pairs = (shape[0], block_count(shape[1], _PAIR))
        return {
            "clusters": StoredPart((*pairs, 2), 3 * self.bits),
            "states": StoredPart(pairs, 2),
            "scales": StoredPart((shape[0], 1), 16),
        }

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Search the scale of each row, and under each scale the states."""
        pad = (0, -weights.shape[1] % _PAIR)
        w, h = np.pad(weights, ((0, 0), pad)), np.pad(moments.importance, pad)
        pairs = (len(w), w.shape[1] // _PAIR)
        levels, states = np.empty(w.shape, np.int8), np.empty(pairs, np.uint8)
        errors = np.empty((len(w), 1))

        def evaluate(scales: np.ndarray) -> np.ndarray:
            choose_states(w, h, scales.astype(np.float32), *self.limits, levels, states, errors)
            return errors

        base = absmax(weights, weights.shape[1]) / np.float32(self.limits[0])
        factors = np.array(FINEQ_FACTORS, np.float32)
        scales = half_scales(
            base * factors[least(evaluate(half_scales(base * f)) for f in factors)]
        )
        evaluate(scales)
        return {"clusters": self._join(levels, states), "states": states, "scales": scales}

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Split the clusters and scale."""
        levels = self._split(parts["clusters"], parts["states"])[:, : shape[1]]
        return levels.astype(np.float32) * parts["scales"].astype(np.float32)

    def _fields(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Width and bit position int[rows, pairs, 1, 3] of each weight in its cluster's code."""
        nth = np.arange(1, _CLUSTER + 1)
        state = states[..., None, None].astype(np.int64)
        widths = np.where(state == 0, self.bits, np.where(state == nth, 0, 3 * self.bits // 2))
        return widths, np.cumsum(widths, axis=-1) - widths

    def _join(self, levels: np.ndarray, states: np.ndarray) -> np.ndarray:
        widths, at = self._fields(states)
        fields = levels.reshape(*states.shape, 2, _CLUSTER).astype(np.int64) & ((1 << widths) - 1)
        joined: np.ndarray = (fields << at).sum(axis=-1).astype(np.uint16)
        return joined

    def _split(self, clusters: np.ndarray, states: np.ndarray) -> np.ndarray:
        widths, at = self._fields(states)
        fields = clusters[..., None].astype(np.int64) >> at & ((1 << widths) - 1)
        negative = (fields << 1) >> widths & (widths > 0)
        levels: np.ndarray = (fields - (negative << widths)).reshape(len(clusters), -1)
        return levels
