"""MXFP4 and MXFP6: minifloats in blocks of 32 under a power of two."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import numpy as np

from amssim.errors import SchemeError
from amssim.formats.base import Format, MatrixShape, Parts, StoredPart
from amssim.formats.input_moments import InputMoments
from amssim.formats.named_field import NamedField
from amssim.formats.rounding.blocks import (
    absmax,
    block_count,
    check_filled,
    check_positive,
    per_column,
)
from amssim.formats.rounding.scale_codes import e8m0, from_e8m0
from amssim.formats.rounding.table import least, minifloat_table
from amssim.minifloat import Minifloat


def as_minifloat(element: Minifloat | str) -> Minifloat:
    """Return the minifloat of that name, such as ``e2m3``."""
    if isinstance(element, Minifloat):
        return element
    text = str(element).lower()
    if len(text) == 4 and text[0] == "e" and text[2] == "m" and (text[1] + text[3]).isdigit():
        return Minifloat(int(text[1]), int(text[3]))
    raise SchemeError(f"unknown element {element!r}: expected a minifloat such as e2m1")


@dataclass(frozen=True)
class Microscaling(Format):
    """w = 2^e v: e = floor(log2 max|w|) less the exponent of the element's largest value.

    ``offsets`` lists what may be added to e; with more than one, each block keeps the first with
    the least error (SignRoundV2's MX search tries -1, 0, 1).

    >>> Microscaling("e2m1").name, Microscaling("e2m3", offsets=(0, -1, 1)).name
    ('mxfp4-e2m1', 'mxfp6-e2m3 searched')
    >>> Microscaling("e2m1").quantize(np.float32([[0.3, -7.0]])).dequantize()
    array([[ 0.5, -6. ]], dtype=float32)
    """

    family: ClassVar[str] = "microscaling"
    formula: ClassVar[str] = "1 + x + y + 8/g"
    source: ClassVar[str] = "OCP Microscaling Formats (MX) v1.0; arXiv 2310.10537"
    simplified: ClassVar[str] = ""
    checked: ClassVar[str] = "gfloat block formats"
    uses: ClassVar[str] = "diagonal"

    element: NamedField[Minifloat] = NamedField(as_minifloat, default="e2m1")
    _: KW_ONLY
    scale_block: int = 32
    offsets: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        check_positive(scale_block=self.scale_block)
        check_filled(offsets=self.offsets)

    @property
    def name(self) -> str:
        """Such as ``mxfp4-e2m1``."""
        searched = " searched" if len(self.offsets) > 1 else ""
        block = "" if self.scale_block == 32 else f"-g{self.scale_block}"
        return f"mxfp{self.element.bits}-{self.element.name}{block}{searched}"

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return codes and the 8-bit exponents of the blocks."""
        scales = (shape[0], block_count(shape[1], self.scale_block))
        return {"codes": StoredPart(shape, self.element.bits), "scales": StoredPart(scales, 8)}

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Choose the exponents and round to nearest even, saturating."""
        table, h = minifloat_table(self.element), moments.importance
        base = _exponent(absmax(weights, self.scale_block)) - int(np.log2(self.element.max_value))
        candidates = (from_e8m0(e8m0(base + offset)) for offset in self.offsets)
        best = least(table.errors(weights, h, scale, self.scale_block) for scale in candidates)
        scales = e8m0(base + np.array(self.offsets)[best])
        return {
            "codes": table.codes(weights, from_e8m0(scales), self.scale_block),
            "scales": scales,
        }

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Return the power of two of each block times the element's value."""
        scales = per_column(from_e8m0(parts["scales"]), self.scale_block, shape[1])
        weights: np.ndarray = minifloat_table(self.element).values_of(parts["codes"]) * scales
        return weights


def _exponent(positive: np.ndarray) -> np.ndarray:
    """floor(log2 x), exactly; 0 where x is 0."""
    return np.where(positive > 0, np.frexp(positive)[1] - 1, 0)
