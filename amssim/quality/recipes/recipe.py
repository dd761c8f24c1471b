"""Recipes by name: what is done to a layer's weights, and how many bits are then stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any, Protocol

import numpy as np

from amssim.errors import InputError, SchemeError
from amssim.formats.ams.ams import Ams
from amssim.formats.ams.gptq import GptqAms
from amssim.formats.ams.joint import JointAms, JointGptq
from amssim.formats.ams.negative_zero import NegativeZero
from amssim.formats.base import Format
from amssim.formats.registry import find_format
from amssim.quality.layers.layer import LinearLayer


class Recipe(Protocol):
    """Weights to restored weights, and the exact bits stored per weight. Hashable."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def family(self) -> str:
        """Kind of format, for figures."""

    def restore(self, layer: LinearLayer) -> tuple[np.ndarray, Fraction]:
        """Return float32[rows, cols] and all stored bits, scales included, per weight."""


@dataclass(frozen=True)
class FormatRecipe:
    """A format of `amssim.formats`; ``calibrated`` lets it see the inputs' second moments."""

    format: Format
    _: KW_ONLY
    calibrated: bool = False

    @property
    def name(self) -> str:
        """The format's name."""
        return self.format.name + ", calibrated" * self.calibrated

    @property
    def family(self) -> str:
        """Kind of format, for figures."""
        return self.format.family

    def restore(self, layer: LinearLayer) -> tuple[np.ndarray, Fraction]:
        """Quantise and dequantise."""
        stored = self.format.quantize(layer.weights, layer.moments if self.calibrated else None)
        return stored.dequantize(), stored.effective_bits


@dataclass(frozen=True)
class Cast:
    """Plain rounding of every weight to float16, without scales."""

    name: str = "fp16"
    family: str = "minifloat"

    def restore(self, layer: LinearLayer) -> tuple[np.ndarray, Fraction]:
        """Round to float16; what lies beyond its largest value saturates."""
        limit = np.finfo(np.float16).max
        rounded = np.clip(layer.weights, -limit, limit).astype(np.float16)
        return rounded.astype(np.float32), Fraction(16)


#: Extensions of an AMS scheme, by what is written before its name.
EXTENSIONS: dict[str, Callable[..., Format]] = {
    "gptq-special": partial(NegativeZero, feedback=True),
    "gptq-joint": JointGptq,
    "gptq": GptqAms,
    "special": NegativeZero,
    "joint": JointAms,
}
_EXTENDED = re.compile(rf"(?P<how>{'|'.join(EXTENSIONS)})-(?P<scheme>(fp|ams).+)")


def recipe(name: str, *, calibrated: bool = False, **options: Any) -> Recipe:
    """Return the recipe of a format of `amssim.formats`, or of plain ``fp16``.

    Args:
        name: such as fp5.33, ams-e2m2-k8, nf4 or int4-g32; one of `EXTENSIONS` and a dash may
            stand before an AMS scheme, as in gptq-joint-fp4.25.
        calibrated: the format sees the inputs' second moments, and an AMS search weighs by them.
        options: of AMS schemes alone, those of `amssim.quantize`.

    Raises:
        SchemeError: an unknown name.
        InputError: error feedback without the inputs' second moments.

    >>> recipe("fp4.25", scale="mse").name, recipe("nf4", scale="mse").name
    ('fp4.25-e2m2 mse', 'nf4-g64')
    >>> recipe("gptq-joint-fp4.25", calibrated=True).name
    'gptq fp4.25-e2m2 joint, calibrated'
    """
    if name == "fp16":
        return Cast()
    form = _format(name, calibrated, options)
    if form.needs_moments and not calibrated:
        raise InputError(
            f"{name} feeds errors back through the inputs of each layer: let it see them, with "
            "--weighted on the command line"
        )
    return FormatRecipe(form, calibrated=calibrated and form.uses != "none")


def _format(name: str, calibrated: bool, options: Mapping[str, Any]) -> Format:
    """The format of a name, with those options that are not None."""
    extended = _EXTENDED.fullmatch(name.strip().lower())
    form = find_format(extended["scheme"] if extended else name)
    given = {n: v for n, v in options.items() if v is not None}
    if extended and isinstance(form, Ams):
        form = EXTENSIONS[extended["how"]](form.scheme, scale_block=form.scale_block)
    if isinstance(form, Ams):
        by_itself = form.needs_moments or "weighted" in form.decides
        return replace(form, **given, weighted=calibrated and not by_itself)
    if isinstance(form, NegativeZero):
        for option in ("search", "scale"):
            if given.pop(option, getattr(Ams, option)) != getattr(Ams, option):
                raise SchemeError(f"{form.name} decides {option!r} itself: leave it out")
        return replace(form, **given)
    return form
