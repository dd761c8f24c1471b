"""A value for the code that AMS never writes: negative zero, in groups whose shared bit is 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import numpy as np

from amssim.errors import SchemeError
from amssim.formats.ams.group_search import GroupSearch
from amssim.formats.ams.joint import joint_scales
from amssim.formats.ams.sub_tables import sub_tables
from amssim.formats.base import Format, MatrixShape, Parts, StoredPart
from amssim.formats.input_moments import InputMoments
from amssim.formats.named_field import NamedField
from amssim.formats.rounding.blocks import block_count, per_column, scales_to_limit
from amssim.formats.rounding.feedback import round_with_feedback
from amssim.formats.rounding.table import Table
from amssim.layout import layout
from amssim.scheme import Scheme, scheme
from amssim.tensor.quantize import pack, unpack

# Rows that choose the special value: with all rows the search takes three times as long.
_SAMPLE_ROWS = 48
# Scales tried for each special value, before the least-squares rounds refine them.
_FACTORS = tuple((110 - 5 * i) / 100 for i in range(13))


@dataclass(frozen=True)
class NegativeZero(Format):
    """An AMS format whose code -0 stands for a special value, the same in the whole tensor.

    The special value is one of those that a group with shared bit 0 lacks: the positive values of
    shared bit 1, named by their magnitude code in 8 bits. The sign of a float32 scale, otherwise
    spare, says on which side of zero a row or block uses it. Scales are searched jointly, and
    ``feedback`` rounds with GPTQ's error feedback where the inputs' products are known.
    """

    family: ClassVar[str] = "AMS, extended"
    formula: ClassVar[str] = "x + y + 1/k + 32/g + 8/n, g the row by default, n the tensor"
    source: ClassVar[str] = "ours, after RaZeR, arXiv 2501.04052, on AMS-Quant, arXiv 2510.16045"
    simplified: ClassVar[str] = ""
    checked: ClassVar[str] = "brute force over special values, signs and codes"
    uses: ClassVar[str] = "full"

    scheme: NamedField[Scheme] = NamedField(scheme)
    _: KW_ONLY
    scale_block: int | None = None
    feedback: bool = False

    def __post_init__(self) -> None:
        if self.scheme.k == 1:
            raise SchemeError("a special value needs a shared bit: k = 1 has none")

    @property
    def name(self) -> str:
        """Such as ``fp4.25-e2m2 -0``."""
        block = f" g{self.scale_block}" if self.scale_block else ""
        return f"{'gptq ' * self.feedback}{self.scheme.name} -0{block}"

    @property
    def needs_moments(self) -> bool:
        """Feedback needs the products of the inputs: the full moments."""
        return self.feedback

    @property
    def specials(self) -> range:
        """Magnitude codes of the special values tried."""
        return range(1, self.scheme.minifloat.magnitudes, 2)

    def tables(self, special: int) -> tuple[list[Table], list[np.ndarray]]:
        """Tables of both shared bits with the special value in the first, and their codes."""
        (even, even_codes), (odd, odd_codes) = sub_tables(self.scheme)
        value = float(self.scheme.minifloat.values[special])
        at = int(np.searchsorted(even.array, value))
        values = (*even.values[:at], value, *even.values[at:])
        codes = np.insert(even_codes, at, self.scheme.minifloat.sign_bit)
        return [Table(values), odd], [codes, odd_codes]

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return the packed half-words, the signed scales and the special value's code."""
        rows, cols = shape
        blocks = block_count(cols, self.scale_block or cols)
        words = StoredPart((rows, layout(self.scheme).row_words(cols)), 16)
        return {
            "words": words,
            "scales": StoredPart((rows, blocks), 32),
            "special": StoredPart((1,), 8),
        }

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Find the special value and the signed scales of least error, then round and pack."""
        special = self._best_special(weights, moments.importance)
        search = self._search(weights, moments.importance)
        scales, _ = self._signed_scales(search, special)
        tables, codes = self.tables(special)
        indices, bits = self._round(search, scales, tables, moments)
        each_bit = per_column(bits, self.scheme.k, weights.shape[1])
        chosen = np.choose(each_bit, [c.take(indices, mode="clip") for c in codes])
        words = pack(chosen, self.scheme)
        return {"words": words, "scales": scales, "special": np.array([special], np.uint8)}

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Decode with the special value in place of negative zero, then scale."""
        values = self.scheme.minifloat.values.copy()
        values[self.scheme.minifloat.sign_bit] = values[int(parts["special"][0])]
        codes = unpack(parts["words"], self.scheme, shape[1])
        scales = per_column(parts["scales"], self.scale_block or shape[1], shape[1])
        weights: np.ndarray = values[codes] * scales
        return weights

    def _search(self, weights: np.ndarray, importance: np.ndarray) -> GroupSearch:
        return GroupSearch(weights, importance, self.scheme.k, self.scale_block or weights.shape[1])

    def _best_special(self, weights: np.ndarray, importance: np.ndarray) -> int:
        """Magnitude code of the special value that leaves least error in a sample of the rows."""
        rows = np.linspace(0, len(weights) - 1, min(len(weights), _SAMPLE_ROWS)).astype(np.intp)
        search = self._search(np.ascontiguousarray(weights[rows]), importance)
        return min(self.specials, key=lambda special: self._signed_scales(search, special)[1])

    def _signed_scales(self, search: GroupSearch, special: int) -> tuple[np.ndarray, float]:
        """float32[rows, blocks] best scales of either sign, and the error they leave."""
        base = scales_to_limit(search.weights, search.scale_block, self.scheme.minifloat.max_value)
        tables, _ = self.tables(special)
        both = [joint_scales(search, tables, s, factors=_FACTORS) for s in (base, -base)]
        errors = [search.errors(s, tables) for s in both]
        scales = np.where(errors[1] < errors[0], both[1], both[0])
        return scales, float(np.minimum(*errors).sum())

    def _round(
        self,
        search: GroupSearch,
        scales: np.ndarray,
        tables: Sequence[Table],
        moments: InputMoments,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Entry of each weight and table of each group, with feedback if asked and possible."""
        if self.feedback and moments.full:
            each = per_column(scales, search.scale_block, search.weights.shape[1])
            return round_with_feedback(search.weights, each, moments.hessian, tables, search.k)
        bits = search.chosen(scales, tables)
        return search.indices(scales, tables, bits), bits
