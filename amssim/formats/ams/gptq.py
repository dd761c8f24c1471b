"""GPTQ: error feedback on the AMS grid, and on the integers it was published for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from amssim.formats.ams.ams import Ams
from amssim.formats.base import Parts
from amssim.formats.input_moments import InputMoments
from amssim.formats.rivals.integer import Integer, signed_absmax
from amssim.formats.rounding.blocks import half_scales, per_column
from amssim.formats.rounding.feedback import round_with_feedback


@dataclass(frozen=True)
class GptqAms(Ams):
    """An AMS format whose groups are rounded one after the other with error feedback.

    The stored form is that of `Ams`. Scales are fixed beforehand by the format's scale rule. A
    group's shared bit is the one whose rounding, feedback within the group included, adds least
    to the output error. Without the inputs' products there is no feedback, and this is `Ams`.
    """

    family: ClassVar[str] = "AMS, extended"
    source: ClassVar[str] = "GPTQ, arXiv 2210.17323, with the group search of AMS-Quant"
    simplified: ClassVar[str] = "the search over both bits of a group is ours"
    checked: ClassVar[str] = "a column-by-column version with explicit inverses in numpy"
    uses: ClassVar[str] = "full"
    decides: ClassVar[tuple[str, ...]] = ("search",)

    @property
    def name(self) -> str:
        """Such as ``gptq fp4.25-e2m2``."""
        return f"gptq {super().name}"

    @property
    def needs_moments(self) -> bool:
        """Feedback needs the products of the inputs: the full moments."""
        return True

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Fix the scales, round with feedback, pack."""
        if not moments.full:
            return super().encode(weights, moments)
        scales = self.scales_of(weights, moments)
        each = per_column(scales, self.scale_block or weights.shape[1], weights.shape[1])
        entries = round_with_feedback(weights, each, moments.hessian, self.tables, self.k)
        return self.parts_of(*entries, scales)

    def scales_of(self, weights: np.ndarray, moments: InputMoments) -> np.ndarray:
        """float32[rows, blocks] scales by the format's rule."""
        return super().encode(weights, moments)["scales"]


@dataclass(frozen=True, kw_only=True)
class GptqInteger(Integer):
    """Symmetric integers rounded with error feedback; scales fixed beforehand by the maximum.

    Without the inputs' products there is no feedback, and this is `Integer`.
    """

    source: ClassVar[str] = "GPTQ, arXiv 2210.17323"
    simplified: ClassVar[str] = "symmetric, scales from the original weights, columns as stored"
    checked: ClassVar[str] = "a column-by-column version with explicit inverses in numpy"
    uses: ClassVar[str] = "full"

    @property
    def name(self) -> str:
        """Such as ``gptq int4-g64``."""
        return f"gptq {super().name}"

    @property
    def needs_moments(self) -> bool:
        """Feedback needs the products of the inputs: the full moments."""
        return True

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Fix the scales and round with feedback."""
        if not moments.full:
            return super().encode(weights, moments)
        scales = half_scales(
            signed_absmax(weights, self.scale_block) / np.float32(self.table.values[0])
        )
        each = per_column(scales.astype(np.float32), self.scale_block, weights.shape[1])
        codes, _ = round_with_feedback(weights, each, moments.hessian, [self.table], 1)
        return {"codes": codes, "scales": scales}
