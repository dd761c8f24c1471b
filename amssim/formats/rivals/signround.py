"""SignRoundV2: integer scales by search, then rounding tuned on the layer's output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from amssim.formats.base import Parts
from amssim.formats.input_moments import InputMoments
from amssim.formats.rivals.integer import Integer, signed_absmax
from amssim.formats.rounding.blocks import check_positive, half_scales, per_column
from amssim.formats.rounding.table import least

#: What the inverse scale is multiplied by: 1 +- 0.75 in 201 steps, as published.
INVERSE_FACTORS = tuple(1 + 0.75 * i / 100 for i in range(-100, 101))


@dataclass(frozen=True, kw_only=True)
class SignRound(Integer):
    """Symmetric integers q = clamp(round(w/s + v)), |v| <= 1/2 tuned by sign gradient descent.

    The scale is the best of `INVERSE_FACTORS` under sum_j h_j (w_j - s q_j)^2, h the inputs'
    second moments. The rounding offsets v then descend on the output error
    tr((W - R) E[x x^T] (W - R)^T) with straight-through gradients, and each row keeps its best
    step. Without the full second moments rows and columns do not interact and v stays 0.
    """

    source: ClassVar[str] = "SignRoundV2, arXiv 2512.04746 (intel/auto-round)"
    simplified: ClassVar[str] = (
        "tuned per layer on its own output, not per block; scales stay as searched; "
        "no bit allocation across layers"
    )
    checked: ClassVar[str] = "numpy float64 output error, never above the untuned one"
    uses: ClassVar[str] = "full"

    steps: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(steps=self.steps)

    @property
    def name(self) -> str:
        """Such as ``signround4-g64``."""
        return f"signround{self.bits}-g{self.scale_block}"

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Search the scales, then tune the rounding where the inputs' products are known."""
        scales = self._search(weights, moments.importance)
        if not moments.full:
            return {"codes": self.table.codes(weights, scales, self.scale_block), "scales": scales}
        each = per_column(scales.astype(np.float32), self.scale_block, weights.shape[1])
        levels = self._tune(weights, each, moments.hessian)
        codes = (levels - np.float32(self.table.values[0])).astype(np.uint8)
        return {"codes": codes, "scales": scales}

    def _search(self, weights: np.ndarray, importance: np.ndarray) -> np.ndarray:
        base = signed_absmax(weights, self.scale_block) / np.float32(self.table.values[0])
        factors = np.array(sorted(INVERSE_FACTORS, key=lambda f: abs(f - 1)), np.float32)
        best = least(
            self.table.errors(weights, importance, half_scales(base / factor), self.scale_block)
            for factor in factors
        )
        return half_scales(base / factors[best])

    def _tune(self, weights: np.ndarray, scales: np.ndarray, hessian: np.ndarray) -> np.ndarray:
        """float32 whole numbers of the tuned rounding."""
        h = hessian.astype(np.float32)
        x = weights / scales
        low, high = np.float32(self.table.values[0]), np.float32(self.table.values[-1])
        offsets = np.zeros_like(x)
        best: np.ndarray = x
        lowest = np.full(len(x), np.inf)
        for step in range(self.steps):
            levels = np.clip(np.rint(x + offsets), low, high)
            error = levels * scales - weights
            pull = error @ h
            loss = np.einsum("ij,ij->i", error, pull, dtype=np.float64)
            better = loss < lowest
            best = np.where(better[:, None], levels, best)
            lowest = np.where(better, loss, lowest)
            rate = np.float32((1 - step / self.steps) / self.steps)
            offsets = np.clip(offsets - rate * np.sign(pull * scales), -0.5, 0.5)
        return best
