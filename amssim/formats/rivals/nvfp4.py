"""NVFP4: E2M1 in blocks of 16 under an E4M3 scale and a float32 scale per tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from amssim.formats.base import Format, MatrixShape, Parts, StoredPart
from amssim.formats.input_moments import InputMoments
from amssim.formats.rounding.blocks import (
    absmax,
    block_count,
    check_filled,
    check_positive,
    per_column,
    scales_to_limit,
)
from amssim.formats.rounding.scale_codes import E4M3_MAX, e4m3, from_e4m3
from amssim.formats.rounding.table import least, minifloat_table
from amssim.minifloat import Minifloat

E2M1 = Minifloat(2, 1)


@dataclass(frozen=True, kw_only=True)
class Nvfp4(Format):
    """w = t s v: t = max|W| / (448 * 6) of the tensor, s the block's E4M3 scale, v in E2M1.

    ``factors`` lists what the block scale may be multiplied by before it is rounded; with more
    than one, each block keeps the first with the least error.

    >>> Nvfp4().bits_per_weight((64, 64))  # 4 + 8/16, and 32 bits of the tensor
    Fraction(577, 128)
    """

    family: ClassVar[str] = "microscaling"
    formula: ClassVar[str] = "4 + 8/16 + 32/n, n the weights of the tensor"
    source: ClassVar[str] = "NVIDIA Transformer Engine and cuDNN documentation of NVFP4"
    simplified: ClassVar[str] = ""
    checked: ClassVar[str] = "gfloat E2M1 and E4M3"
    uses: ClassVar[str] = "diagonal"

    scale_block: int = 16
    factors: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        check_positive(scale_block=self.scale_block)
        check_filled(factors=self.factors)

    @property
    def name(self) -> str:
        """``nvfp4``, and whether scales are searched."""
        return "nvfp4 searched" if len(self.factors) > 1 else "nvfp4"

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return codes, block scales and the tensor's scale."""
        scales = (shape[0], block_count(shape[1], self.scale_block))
        return {
            "codes": StoredPart(shape, 4),
            "scales": StoredPart(scales, 8),
            "tensor": StoredPart((1,), 32),
        }

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Scale the tensor, then each block by its absolute maximum, and round."""
        table, h = minifloat_table(E2M1), moments.importance
        tensor = tensor_scale(weights, E4M3_MAX * table.limit)
        base = absmax(weights, self.scale_block) / table.limit / tensor
        factors = np.array(self.factors, np.float32)
        candidates = (from_e4m3(e4m3(base * factor)) * tensor for factor in factors)
        best = least(table.errors(weights, h, scale, self.scale_block) for scale in candidates)
        scales = e4m3(base * factors[best])
        codes = table.codes(weights, from_e4m3(scales) * tensor, self.scale_block)
        return {"codes": codes, "scales": scales, "tensor": tensor}

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Return tensor scale times block scale times the element's value."""
        scales = per_column(
            from_e4m3(parts["scales"]) * parts["tensor"], self.scale_block, shape[1]
        )
        weights: np.ndarray = minifloat_table(E2M1).values_of(parts["codes"]) * scales
        return weights


def tensor_scale(weights: np.ndarray, limit: float) -> np.ndarray:
    """float32[1] the scale that maps the tensor's largest magnitude to ``limit``."""
    scale: np.ndarray = scales_to_limit(weights.reshape(1, -1), weights.size, limit)[0]
    return scale
