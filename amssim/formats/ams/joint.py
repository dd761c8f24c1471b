"""Scales and shared bits chosen together, for the weights or, weighted, for the layer's output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from amssim.formats.ams.ams import Ams
from amssim.formats.ams.gptq import GptqAms
from amssim.formats.ams.group_search import GroupSearch
from amssim.formats.base import Parts
from amssim.formats.input_moments import InputMoments
from amssim.formats.rivals.normal_float import fitted_scales
from amssim.formats.rounding.blocks import scales_to_limit
from amssim.formats.rounding.table import Table, least

#: Scales tried, relative to the absolute maximum's.
SCALE_FACTORS = tuple((110 - 2 * i) / 100 for i in range(31))
ROUNDS = 4


def joint_scales(
    search: GroupSearch,
    tables: Sequence[Table],
    base: np.ndarray,
    *,
    factors: Sequence[float] = SCALE_FACTORS,
    rounds: int = ROUNDS,
) -> np.ndarray:
    """float32[rows, blocks] scales of the least error found together with the groups' tables.

    The best of ``factors`` times ``base``, then ``rounds`` times the least-squares scale of the
    values that the search has just chosen; each block keeps its best.
    """
    tried = np.array(factors, np.float32)
    scales: np.ndarray = base * tried[least(search.errors(base * f, tables) for f in tried)]
    error = search.errors(scales, tables)
    for _ in range(rounds):
        values = search.values(scales, tables)
        fitted = fitted_scales(
            search.weights, values, search.importance, search.scale_block, otherwise=scales
        )
        fitted_error = search.errors(fitted, tables)
        scales = np.where(fitted_error < error, fitted, scales)
        error = np.minimum(fitted_error, error)
    return scales


def scheme_scales(form: Ams, weights: np.ndarray, moments: InputMoments) -> np.ndarray:
    """float32[rows, blocks] joint scales of an AMS format; weighted if the moments are known."""
    search, tables = _search(form, weights, moments)
    base = scales_to_limit(weights, search.scale_block, form.scheme.minifloat.max_value)
    return joint_scales(search, tables, base)


def _search(
    form: Ams, weights: np.ndarray, moments: InputMoments
) -> tuple[GroupSearch, list[Table]]:
    block = form.scale_block or weights.shape[1]
    search = GroupSearch(weights, moments.importance, form.k, block)
    return search, form.tables


@dataclass(frozen=True)
class JointAms(Ams):
    """An AMS format whose scales are searched together with the shared bits: see `joint_scales`.

    What is stored is the same as with `Ams`. Second moments, if given, weigh both searches.
    """

    family: ClassVar[str] = "AMS, extended"
    source: ClassVar[str] = "ours, on AMS-Quant, arXiv 2510.16045"
    checked: ClassVar[str] = "the error under every factor; amssim.quantize at equal scales"
    decides: ClassVar[tuple[str, ...]] = ("search", "scale", "weighted")

    @property
    def name(self) -> str:
        """Such as ``fp4.25-e2m2 joint``."""
        return f"{super().name} joint"

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Search scales and bits, then pack."""
        scales = scheme_scales(self, weights, moments)
        search, tables = _search(self, weights, moments)
        chosen = search.chosen(scales, tables)
        return self.parts_of(search.indices(scales, tables, chosen), chosen, scales)


@dataclass(frozen=True)
class JointGptq(GptqAms):
    """Error feedback on an AMS grid under `joint_scales`."""

    source: ClassVar[str] = "ours, on GPTQ, arXiv 2210.17323, and AMS-Quant, arXiv 2510.16045"
    decides: ClassVar[tuple[str, ...]] = ("search", "scale", "weighted")

    @property
    def name(self) -> str:
        """Such as ``gptq fp4.25-e2m2 joint``."""
        return f"{super().name} joint"

    def scales_of(self, weights: np.ndarray, moments: InputMoments) -> np.ndarray:
        """float32[rows, blocks] joint scales."""
        return scheme_scales(self, weights, moments)
