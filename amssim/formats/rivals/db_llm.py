"""DB-LLM: weights as a sum of binary planes, each with its own factor per block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from amssim.errors import SchemeError
from amssim.formats.base import Format, MatrixShape, Parts, StoredPart
from amssim.formats.input_moments import InputMoments
from amssim.formats.rivals.db_llm_kernels import nearest_levels, normal_equations
from amssim.formats.rounding.blocks import absmax, block_count, check_positive, half_values

# Relative to the planes' own squares: keeps the least squares solvable where planes coincide.
_RIDGE = 1e-6


@dataclass(frozen=True, kw_only=True)
class DbLlm(Format):
    """w = sum_p a_p b_p with b_p in {0, 1} and a float16 factor a_p per plane and block.

    Two planes start as the published (2s, -s), s = max|w| / 2, whose levels are -s, 0, s, 2s; p
    planes as (2^(p-1) s, -2^(p-2) s, ..., -s). Codes and factors then alternate, the factors by
    least squares weighted with the inputs' second moments, and the best round is kept.
    """

    family: ClassVar[str] = "table"
    formula: ClassVar[str] = "p + 16 p/g"
    source: ClassVar[str] = "DB-LLM, arXiv 2402.11960, flexible dual binarisation"
    simplified: ClassVar[str] = (
        "factors by alternating least squares instead of distillation; more than two planes are "
        "an extension of ours"
    )
    checked: ClassVar[str] = "the published levels; numpy.linalg.lstsq per block"
    uses: ClassVar[str] = "diagonal"

    planes: int = 2
    scale_block: int = 64
    rounds: int = 15

    def __post_init__(self) -> None:
        check_positive(planes=self.planes, scale_block=self.scale_block)
        if self.planes > 6:
            raise SchemeError(f"db-llm takes up to 6 planes, found {self.planes}")

    @property
    def name(self) -> str:
        """Such as ``db-llm2-g64``."""
        return f"db-llm{self.planes}-g{self.scale_block}"

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return a bit per plane in the codes, and the factors."""
        blocks = block_count(shape[1], self.scale_block)
        return {
            "codes": StoredPart(shape, self.planes),
            "factors": StoredPart((shape[0], blocks, self.planes), 16),
        }

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Alternate between codes and factors."""
        factors = half_values(self._start(weights))
        errors = np.empty(factors.shape[:2])
        best, lowest = factors, np.full(errors.shape, np.inf)
        for _ in range(self.rounds + 1):
            codes = self._codes(weights, moments.importance, factors, errors)
            better = errors < lowest
            best = np.where(better[..., None], factors, best)
            lowest = np.where(better, errors, lowest)
            factors = half_values(self._fit(weights, moments.importance, codes))
        return {"codes": self._codes(weights, moments.importance, best, errors), "factors": best}

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Add up the planes."""
        levels = self._levels(parts["factors"])
        block = np.arange(shape[1]) // self.scale_block
        sums: np.ndarray = levels[np.arange(shape[0])[:, None], block, parts["codes"]]
        return sums

    def _start(self, weights: np.ndarray) -> np.ndarray:
        powers = 2.0 ** np.arange(self.planes - 1, -1, -1)
        signs = np.where(np.arange(self.planes) == 0, 1, -1)
        scale = absmax(weights, self.scale_block) / 2 ** (self.planes - 1)
        start: np.ndarray = (scale[..., None] * powers * signs).astype(np.float32)
        return start

    def _levels(self, factors: np.ndarray) -> np.ndarray:
        """float32[rows, blocks, 2^planes] the sum of each code's planes, plane 0 in bit 0."""
        planes = np.arange(2**self.planes)[:, None] >> np.arange(self.planes) & 1
        levels: np.ndarray = factors.astype(np.float32) @ planes.T.astype(np.float32)
        return levels

    def _codes(
        self, weights: np.ndarray, importance: np.ndarray, factors: np.ndarray, errors: np.ndarray
    ) -> np.ndarray:
        codes = np.empty(weights.shape, np.uint8)
        nearest_levels(weights, importance, self._levels(factors), self.scale_block, codes, errors)
        return codes

    def _fit(self, weights: np.ndarray, importance: np.ndarray, codes: np.ndarray) -> np.ndarray:
        shape = (len(weights), block_count(weights.shape[1], self.scale_block), self.planes)
        matrix, right = np.zeros((*shape, self.planes)), np.zeros(shape)
        normal_equations(weights, importance, codes, self.scale_block, matrix, right)
        ridge = _RIDGE * np.trace(matrix, axis1=2, axis2=3) + np.finfo(np.float64).tiny
        matrix += ridge[..., None, None] * np.eye(self.planes)
        return np.linalg.solve(matrix, right[..., None])[..., 0]
