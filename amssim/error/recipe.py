"""Recipes: what may be done to a layer's weights, and what is counted as stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

import numpy as np

from amssim import formats
from amssim.error.tally import Layer
from amssim.formats.ams import Ams
from amssim.formats.base import Format


class Recipe(Protocol):
    """Weights to restored weights, and the exact bits stored per weight. Hashable."""

    name: str
    family: str

    def restore(self, layer: Layer) -> tuple[np.ndarray, Fraction]:
        """Return float32[rows, cols] and all stored bits, scales included, per weight."""


@dataclass(frozen=True)
class FormatRecipe:
    """A format of `amssim.formats`; ``calibrated`` lets it see the inputs' second moments."""

    format: Format
    calibrated: bool = False

    @property
    def name(self) -> str:
        """The format's name."""
        return self.format.name + ", calibrated" * self.calibrated

    @property
    def family(self) -> str:
        """Kind of format, for figures."""
        return self.format.family

    def restore(self, layer: Layer) -> tuple[np.ndarray, Fraction]:
        """Quantise and dequantise."""
        stored = self.format.quantize(layer.weights, layer.moments if self.calibrated else None)
        return stored.dequantize(), stored.effective_bits


@dataclass(frozen=True)
class Cast:
    """Plain rounding of every weight to float16, without scales."""

    name: str = "fp16"
    family: str = "minifloat"

    def restore(self, layer: Layer) -> tuple[np.ndarray, Fraction]:
        """Round; what overflows saturates."""
        limit = np.finfo(np.float16).max
        rounded = np.clip(layer.weights, -limit, limit).astype(np.float16)
        return rounded.astype(np.float32), Fraction(16)


def recipe(name: str, *, weighted: bool = False, **options) -> Recipe:
    """Return the recipe of a format of `amssim.formats`, or of plain ``fp16``.

    Args:
        name: such as fp5.33, ams-e2m2-k8, nf4 or int4-g32.
        weighted: the format sees the inputs' second moments, and an AMS search weighs by them.
        options: of AMS schemes alone, those of `amssim.quantize`.

    Raises:
        SchemeError: an unknown name.

    >>> recipe("fp4.25", scale="mse").name, recipe("nf4", scale="mse").name
    ('fp4.25-e2m2 mse', 'nf4-g64')
    """
    if name == "fp16":
        return Cast()
    found = formats.get(name)
    if isinstance(found, Ams):
        found = replace(found, **options, weighted=weighted)
    return FormatRecipe(found, calibrated=weighted and found.uses != "none")
