"""NF4 and its learned-scale variant: normal quantiles under a float16 scale per block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from amssim.formats.base import Format, MatrixShape, Parts, StoredPart
from amssim.formats.input_moments import InputMoments
from amssim.formats.rounding.blocks import (
    absmax,
    block_count,
    check_positive,
    check_width,
    half_scales,
    in_blocks,
    per_column,
)
from amssim.formats.rounding.table import Table

# Probability of the outermost quantile, so that the table ends where 1/32 and 1/30 of a normal's
# tail would on average: QLoRA, arXiv 2305.14314, appendix E.
_OUTER = 1 - (1 / 32 + 1 / 30) / 2


@lru_cache
def normal_table(bits: int) -> Table:
    """2^(b-1) - 1 negative values, zero, and 2^(b-1) positive: normal quantiles scaled to 1.

    >>> [round(v, 4) for v in normal_table(4).values[6:10]]
    [-0.091, 0.0, 0.0796, 0.1609]
    """
    from scipy.stats import norm

    def side(count: int) -> np.ndarray:
        quantiles: np.ndarray = norm.ppf(np.linspace(0.5, _OUTER, count + 1)[1:])
        return quantiles

    half_count = 2 ** (bits - 1)
    positive, negative = side(half_count), -side(half_count - 1)
    values = np.concatenate([negative[::-1], [0.0], positive]) / positive[-1]
    return Table(tuple(values.astype(np.float32).tolist()))


@dataclass(frozen=True, kw_only=True)
class NormalFloat(Format):
    """w = s t[code], t the table of normal quantiles and s the block's absolute maximum.

    >>> NormalFloat(bits=4, scale_block=64).bits_per_weight((1, 4096))
    Fraction(17, 4)
    """

    family: ClassVar[str] = "table"
    formula: ClassVar[str] = "b + 16/g"
    source: ClassVar[str] = "NF4: QLoRA, arXiv 2305.14314; other b as in FLUTE, arXiv 2407.10960"
    simplified: ClassVar[str] = "float16 scales, as FLUTE stores them; no double quantisation"
    checked: ClassVar[str] = "the published NF4 table; bitsandbytes on the CPU (golden vectors)"

    bits: int = 4
    scale_block: int = 64

    def __post_init__(self) -> None:
        check_positive(scale_block=self.scale_block)
        check_width("nf", self.bits, 2, 8)

    @property
    def name(self) -> str:
        """Such as ``nf4-g64``."""
        return f"nf{self.bits}-g{self.scale_block}"

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return codes and scales; the table is the same for all tensors."""
        scales = (shape[0], block_count(shape[1], self.scale_block))
        return {"codes": StoredPart(shape, self.bits), "scales": StoredPart(scales, 16)}

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Scale each block to [-1, 1] and take the nearest entry."""
        scales = half_scales(absmax(weights, self.scale_block))
        return {"codes": self._codes(weights, scales), "scales": scales}

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Return scale times table entry."""
        scales = per_column(parts["scales"].astype(np.float32), self.scale_block, shape[1])
        weights: np.ndarray = normal_table(self.bits).values_of(parts["codes"]) * scales
        return weights

    def _codes(self, weights: np.ndarray, scales: np.ndarray) -> np.ndarray:
        return normal_table(self.bits).codes(weights, scales, self.scale_block)


@dataclass(frozen=True, kw_only=True)
class LearnedNormalFloat(NormalFloat):
    """NFL: scales fitted to the weights, each round the least-squares scale of the last codes.

    s = sum_j h_j w_j t_j / sum_j h_j t_j^2 with h the second moments of the inputs; a fixed point
    of codes and scales has no greater error than the start, the absolute maximum.
    """

    source: ClassVar[str] = "FLUTE, arXiv 2407.10960, learned scales"
    simplified: ClassVar[str] = "least squares per block instead of gradients of the model's loss"
    checked: ClassVar[str] = "numpy: error never above NF4's, scales at their least-squares optimum"
    uses: ClassVar[str] = "diagonal"

    rounds: int = 20

    @property
    def name(self) -> str:
        """Such as ``nfl4-g64``."""
        return f"nfl{self.bits}-g{self.scale_block}"

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Alternate between codes and scales."""
        table, h = normal_table(self.bits), moments.importance
        scales = half_scales(absmax(weights, self.scale_block))
        best, least = scales, table.errors(weights, h, scales, self.scale_block)
        for _ in range(self.rounds):
            values = table.values_of(self._codes(weights, scales))
            fitted = fitted_scales(weights, values, h, self.scale_block, otherwise=scales)
            scales = half_scales(fitted)
            errors = table.errors(weights, h, scales, self.scale_block)
            best = np.where(errors < least, scales, best)
            least = np.minimum(errors, least)
        return {"codes": self._codes(weights, best), "scales": best}


def fitted_scales(
    weights: np.ndarray,
    values: np.ndarray,
    importance: np.ndarray,
    scale_block: int,
    *,
    otherwise: np.ndarray,
) -> np.ndarray:
    """float32[rows, blocks] the scale of ``values`` that fits each block of ``weights`` best.

    Least squares weighted by ``importance``; ``otherwise`` where the values are all zero or the
    fit has not its sign.
    """
    weighted = importance * values.astype(np.float64)
    up = in_blocks(weighted * weights, scale_block).sum(axis=2)
    down = in_blocks(weighted * values, scale_block).sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        fit = (up / down).astype(np.float32)
    fits = (down > 0) & (np.sign(fit) == np.sign(otherwise)) & np.isfinite(fit)
    return np.where(fits, fit, otherwise.astype(np.float32))
