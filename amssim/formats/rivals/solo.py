"""SOLO's log grid: magnitudes as powers of a base that each block chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from amssim.errors import SchemeError
from amssim.formats.base import Format, MatrixShape, Parts, StoredPart
from amssim.formats.input_moments import InputMoments
from amssim.formats.rounding.blocks import (
    absmax,
    block_count,
    check_positive,
    check_width,
    half_scales,
    half_values,
    per_column,
)


@dataclass(frozen=True, kw_only=True)
class Solo(Format):
    """w = +-s a^c with c in 0 .. cmax = 2^(b-1) - 1: s is the largest |w| of the block.

    The base a is such that the smallest magnitude, s a^cmax, is a low quantile of the block's |w|.

    There is no zero: smaller weights become the least power.

    >>> Solo(bits=3, scale_block=4).quantize(np.float32([[8, -4, 2, 1]])).dequantize().round(2)
    array([[ 8.  , -4.37,  2.38,  1.3 ]], dtype=float32)
    """

    family: ClassVar[str] = "table"
    formula: ClassVar[str] = "b + 32/g"
    source: ClassVar[str] = (
        "SOLO, arXiv 2505.00347, its 2-bit unsigned quantiser (optimiser states)"
    )
    simplified: ClassVar[str] = (
        "a sign bit added for weights; nearest power instead of stochastic; float16 scale and base"
    )
    checked: ClassVar[str] = "numpy: nearest in the logarithm over all powers"

    bits: int = 4
    scale_block: int = 128
    quantile: float = 0.1

    def __post_init__(self) -> None:
        check_positive(scale_block=self.scale_block)
        check_width("solo", self.bits, 2, 8)
        if not 0 <= self.quantile <= 1:
            raise SchemeError(f"solo takes a quantile from 0 to 1, found {self.quantile}")

    @property
    def name(self) -> str:
        """Such as ``solo4-g128``."""
        return f"solo{self.bits}-g{self.scale_block}"

    @property
    def last(self) -> int:
        """The largest power."""
        return int(2 ** (self.bits - 1)) - 1

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return codes with the sign on top, scales and bases."""
        blocks = (shape[0], block_count(shape[1], self.scale_block))
        return {
            "codes": StoredPart(shape, self.bits),
            "scales": StoredPart(blocks, 16),
            "bases": StoredPart(blocks, 16),
        }

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Choose scale and base, then round the logarithm."""
        cols = weights.shape[1]
        scales = half_scales(absmax(weights, self.scale_block))
        bases = half_values(self._bases(weights, scales.astype(np.float32)))
        ratio = np.abs(weights) / per_column(scales.astype(np.float32), self.scale_block, cols)
        with np.errstate(divide="ignore"):
            power = np.log2(ratio) / per_column(
                np.log2(bases.astype(np.float32)), self.scale_block, cols
            )
        powers = np.rint(np.clip(power, 0, self.last)).astype(np.uint8)
        codes = powers + (weights < 0) * np.uint8(self.last + 1)
        return {"codes": codes, "scales": scales, "bases": bases}

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Return sign times scale times power."""
        power = (parts["codes"] & self.last).astype(np.float32)
        size = per_column(parts["scales"].astype(np.float32), self.scale_block, shape[1])
        size = (
            size
            * per_column(parts["bases"].astype(np.float32), self.scale_block, shape[1]) ** power
        )
        return np.where(parts["codes"] > self.last, -size, size)

    def _bases(self, weights: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """float32[rows, blocks] (quantile / scale)^(1 / last), kept within 1/256 and 0.999."""
        bases = np.empty_like(scales)
        for b in range(scales.shape[1]):
            sizes = np.abs(weights[:, b * self.scale_block : (b + 1) * self.scale_block])
            bases[:, b] = np.quantile(sizes, self.quantile, axis=1) / scales[:, b]
        return np.clip(bases ** np.float32(1 / self.last), 1 / 256, 0.999)
