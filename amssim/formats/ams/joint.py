"""Scales and shared bits chosen together, for the weights or, weighted, for the layer's output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from amssim.codec.constants import SMALLEST_SCALE
from amssim.formats.ams.ams import Ams
from amssim.formats.ams.gptq import GptqAms
from amssim.formats.ams.group_search import GroupSearch
from amssim.formats.ams.sub_tables import codes_of_entries, sub_tables
from amssim.formats.base import Parts
from amssim.formats.input_moments import InputMoments
from amssim.formats.rivals.normal_float import fitted_scales
from amssim.formats.rounding.blocks import absmax
from amssim.formats.rounding.table import Table, least
from amssim.tensor.quantize import pack

#: Scales tried, relative to the absolute maximum's.
SCALE_FACTORS = tuple((110 - 2 * i) / 100 for i in range(31))
ROUNDS = 4


def joint_scales(
    search: GroupSearch,
    tables: Sequence[Table],
    base: np.ndarray,
    factors=SCALE_FACTORS,
    rounds=ROUNDS,
) -> np.ndarray:
    """float32[rows, blocks] scales of the least error found together with the groups' tables.

    The best of ``factors`` times ``base``, then ``rounds`` times the least-squares scale of the
    values that the search has just chosen; each block keeps its best.
    """
    factors = np.array(factors, np.float32)
    scales = base * factors[least(search.errors(base * f, tables) for f in factors)]
    error = search.errors(scales, tables)
    for _ in range(rounds):
        values = search.values(scales, tables)
        fitted = fitted_scales(
            search.weights, values, search.importance, search.scale_block, scales
        )
        found = search.errors(fitted, tables)
        scales = np.where(found < error, fitted, scales)
        error = np.minimum(found, error)
    return scales


def base_scales(weights: np.ndarray, block: int, limit: float) -> np.ndarray:
    """float32[rows, blocks] absolute maximum / limit; 1 for zeros, not below the least normal."""
    largest = absmax(weights, block)
    scales = np.maximum(largest / np.float32(limit), SMALLEST_SCALE)
    return np.where(largest == 0, np.float32(1), scales).astype(np.float32)


def scheme_scales(form: Ams, weights: np.ndarray, moments: InputMoments) -> np.ndarray:
    """float32[rows, blocks] joint scales of an AMS format; weighted if the moments are known."""
    search, tables = _search(form, weights, moments)
    base = base_scales(weights, search.scale_block, form.scheme.minifloat.max_value)
    return joint_scales(search, tables, base)


def _search(form: Ams, weights, moments) -> tuple[GroupSearch, list[Table]]:
    block = form.scale_block or weights.shape[1]
    search = GroupSearch(weights, moments.importance, form.scheme.k, block)
    return search, [table for table, _ in sub_tables(form.scheme)]


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
        codes = codes_of_entries(self.scheme, search.indices(scales, tables, chosen), chosen)
        return {"words": pack(codes, self.scheme), "scales": scales}


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
