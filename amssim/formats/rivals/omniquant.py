"""OmniQuant's weight clipping: asymmetric integers whose range is clipped for the least error."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np

from amssim.formats.base import Parts
from amssim.formats.input_moments import InputMoments
from amssim.formats.rivals.integer import AsymmetricInteger, affine_grid, affine_parts
from amssim.formats.rounding.blocks import block_count, extremes
from amssim.formats.rounding.kernels import uniform_errors
from amssim.formats.rounding.table import least

#: Factors on the least and on the greatest weight of a block, tried in every pair.
CLIPS = tuple((100 - 5 * i) / 100 for i in range(10))


@dataclass(frozen=True, kw_only=True)
class OmniQuant(AsymmetricInteger):
    """Integers from c_low min to c_high max of the block, both factors by search over `CLIPS`.

    The error weighs the columns by their inputs' second moments. (1, 1) is among the pairs, so
    no block has a greater error than with `AsymmetricInteger`.
    """

    source: ClassVar[str] = "OmniQuant, arXiv 2308.13137, learnable weight clipping"
    simplified: ClassVar[str] = (
        "grid search of 10 x 10 factors on the weighted error instead of gradients of the block's "
        "output error; no learnable equivalent transformation"
    )
    checked: ClassVar[str] = "brute force over the factors in numpy"
    uses: ClassVar[str] = "diagonal"

    @property
    def name(self) -> str:
        """Such as ``omniquant4-g64``."""
        return f"omniquant{self.bits}-g{self.scale_block}"

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Search the clips, then quantise."""
        low, high = extremes(weights, self.scale_block)
        pairs = np.array(list(product(CLIPS, CLIPS)), np.float32)
        best = least(
            range_errors(
                weights, moments.importance, low * a, high * b, self.bits, self.scale_block
            )
            for a, b in pairs
        )
        clips = pairs[best]
        return affine_parts(
            weights, low * clips[..., 0], high * clips[..., 1], self.bits, self.scale_block
        )


def range_errors(
    weights: np.ndarray,
    importance: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    bits: int,
    scale_block: int,
) -> np.ndarray:
    """float64[rows, blocks] weighted squared error with blocks that range from low to high."""
    scales, zeros = affine_grid(low, high, bits)
    bottom = -zeros.astype(np.float32)
    errors = np.empty((len(weights), block_count(weights.shape[1], scale_block)))
    top = bottom + np.float32(2**bits - 1)
    uniform_errors(weights, importance, scales.astype(np.float32), bottom, top, scale_block, errors)
    return errors
