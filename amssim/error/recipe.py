"""Recipes: what may be done to a layer's weights, and what is counted as stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

import numpy as np

from amssim import formats
from amssim.error.beyond.negative_zero import NegativeZero
from amssim.error.beyond.permutation import Permuted
from amssim.error.tally import Layer
from amssim.formats.ams import Ams
from amssim.formats.base import Format
from amssim.formats.db_llm import DbLlm
from amssim.formats.microscaling import Microscaling
from amssim.formats.normal_float import NormalFloat
from amssim.formats.nvfp4 import Nvfp4
from amssim.formats.opal import Opal
from amssim.formats.razer import Razer
from amssim.formats.solo import Solo
from amssim.formats.squeezellm import SqueezeLlm

_FAMILIES: dict[str, type | tuple[type, ...]] = {
    "AMS, extended": (Ams, NegativeZero, Permuted),
    "microscaling": (Microscaling, Nvfp4, Razer, Opal),
    "table": (NormalFloat, SqueezeLlm, Solo, DbLlm),
    "integer": Format,
}


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
        if type(self.format) is not Ams:
            kinds = _FAMILIES.items()
            return next(name for name, kind in kinds if isinstance(self.format, kind))
        if self.format.scheme.k == 1:
            return "minifloat"
        published = self.format == Ams(self.format.scheme)
        return "AMS" if published else "AMS, other options"

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
