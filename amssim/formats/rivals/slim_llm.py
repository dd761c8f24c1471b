"""SliM-LLM: asymmetric integers whose width follows the salience of a block of columns."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from amssim.formats.base import Format, MatrixShape, Parts, StoredPart
from amssim.formats.input_moments import InputMoments
from amssim.formats.rivals.integer import affine_parts, affine_values
from amssim.formats.rivals.omniquant import range_errors
from amssim.formats.rounding.blocks import block_count, check_positive, check_width, extremes
from amssim.formats.rounding.table import least

#: Factors on a block's range, tried around its exact extremes: the published 0.9 to 1.1.
RANGES = (1.0, *(f / 100 for f in range(90, 111, 2) if f != 100))


@dataclass(frozen=True, kw_only=True)
class SlimLlm(Format):
    """Blocks of columns with b - 1, b or b + 1 bits; as many gain a bit as lose one.

    A block spans all rows. The i most salient blocks gain and the i least lose, with the i that
    gives the least error sum_j h_j (w - r)^2; salience is sum_j h_j w^2. Every row of a block has
    a float16 scale, a zero point as wide as its codes, and the best of `RANGES` on its extremes.
    """

    family: ClassVar[str] = "integer"
    formula: ClassVar[str] = "b + (16 + b)/g + 8/(g rows)"
    source: ClassVar[str] = "SliM-LLM, arXiv 2405.14917"
    simplified: ClassVar[str] = (
        "salience and errors by the inputs' second moments; 11 range factors, squared errors; "
        "widths by weighted error instead of KL divergence; no GPTQ updates"
    )
    checked: ClassVar[str] = "an allocation made by hand, and the mean width"
    uses: ClassVar[str] = "diagonal"

    bits: int = 4
    scale_block: int = 128

    def __post_init__(self) -> None:
        check_positive(scale_block=self.scale_block)
        check_width("slim-llm", self.bits, 2, 7)

    @property
    def name(self) -> str:
        """Such as ``slim-llm4-g128``."""
        return f"slim-llm{self.bits}-g{self.scale_block}"

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return codes and zero points of ``bits`` on average, scales, and the blocks' widths."""
        blocks = block_count(shape[1], self.scale_block)
        mean = Fraction(self.bits)
        parts = {"codes": StoredPart(shape, mean), "scales": StoredPart((shape[0], blocks), 16)}
        return parts | {
            "zeros": StoredPart((shape[0], blocks), mean),
            "widths": StoredPart((blocks,), 8),
        }

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Choose widths, then quantise block by block."""
        h = moments.importance
        widths = self._widths(weights, h)
        blocks = []
        for g, width in enumerate(widths.tolist()):
            part = slice(g * self.scale_block, (g + 1) * self.scale_block)
            own = np.ascontiguousarray(weights[:, part])
            blocks.append(_quantize_block(own, h[part], width))
        joined = {name: np.concatenate([g[name] for g in blocks], axis=1) for name in blocks[0]}
        return joined | {"widths": widths}

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Return scale times (code - zero point)."""
        return affine_values(parts, self.scale_block)

    def _widths(self, weights: np.ndarray, importance: np.ndarray) -> np.ndarray:
        """uint8[blocks] width of each block."""
        whole = weights.shape[1] // self.scale_block  # a shorter last block keeps the mean width
        starts = np.arange(0, weights.shape[1], self.scale_block)
        energy = importance * np.einsum("ij,ij->j", weights, weights, dtype=np.float64)
        order = np.argsort(np.add.reduceat(energy, starts)[:whole], kind="stable")
        low, high = extremes(weights, self.scale_block)
        errors = {
            b: range_errors(weights, importance, low, high, b, self.scale_block).sum(axis=0)
            for b in (self.bits - 1, self.bits, self.bits + 1)
        }
        choices = [_promoted(order, i, len(starts), self.bits) for i in range(whole // 2 + 1)]
        costs = [sum(errors[b][g] for g, b in enumerate(c.tolist())) for c in choices]
        return choices[int(np.argmin(costs))]


def _promoted(order: np.ndarray, count: int, blocks: int, bits: int) -> np.ndarray:
    """uint8[blocks]: ``bits``, one less for the first and one more for the last of ``order``."""
    widths = np.full(blocks, bits, np.uint8)
    widths[order[:count]] -= 1
    widths[order[len(order) - count :]] += 1
    return widths


def _quantize_block(weights: np.ndarray, importance: np.ndarray, bits: int) -> Parts:
    """One block of columns: the best of `RANGES` for each row."""
    cols = weights.shape[1]
    low, high = extremes(weights, cols)
    factors = np.array(RANGES, np.float32)
    best = factors[
        least(range_errors(weights, importance, low * f, high * f, bits, cols) for f in factors)
    ]
    return affine_parts(weights, low * best, high * best, bits, cols)
