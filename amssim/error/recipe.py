"""Recipes: what an evaluation may do to a layer's weights, and what it counts as stored."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from amssim.error.sharing import Choice, restore


@dataclass(frozen=True)
class Layer:
    """A linear layer as a recipe sees it.

    ``weights`` float32[rows, cols]; ``moments`` float32[cols, cols], E[x x^T] of its inputs, or
    None where nothing was calibrated.
    """

    name: str
    weights: np.ndarray
    moments: np.ndarray | None = None

    @property
    def importance(self) -> np.ndarray | None:
        """float32[cols] second moment of each input, or None."""
        return None if self.moments is None else np.diagonal(self.moments).astype(np.float32)


class Recipe(Protocol):
    """Weights to restored weights, and the exact bits stored per weight."""

    name: str

    def restore(self, layer: Layer) -> tuple[np.ndarray, Fraction]:
        """Return float32[rows, cols] and all stored bits, scales included, per weight."""


@dataclass(frozen=True)
class AmsRecipe:
    """An AMS format under the options of ``choice``."""

    choice: Choice

    @property
    def name(self) -> str:
        """The scheme's name, and what differs from the default options."""
        c, parts = self.choice, [self.choice.scheme.name]
        if c.search != "adaptive":
            parts.append(c.search)
        if c.scale != "absmax":
            parts.append(c.scale)
        if c.scale_block:
            parts.append(f"block {c.scale_block}")
        if c.share_axis != "input":
            parts.append(f"{c.share_axis} axis")
        if c.weighted:
            parts.append("weighted")
        return ", ".join(parts)

    def restore(self, layer: Layer) -> tuple[np.ndarray, Fraction]:
        """Quantise and dequantise."""
        restored = restore(layer.weights, self.choice, layer.importance)
        return restored, self.choice.effective_bits(layer.weights.shape)


@dataclass(frozen=True)
class CastRecipe:
    """Plain rounding of every weight to a 16-bit float, without scales."""

    name: str = "fp16"
    dtype: type = np.float16

    def restore(self, layer: Layer) -> tuple[np.ndarray, Fraction]:
        """Round to the dtype; what overflows saturates."""
        limit = np.finfo(self.dtype).max
        rounded = np.clip(layer.weights, -limit, limit).astype(self.dtype)
        return rounded.astype(np.float32), Fraction(16)
