"""The AMS formats and the plain minifloats, behind the protocol of the comparison formats."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import numpy as np

from amssim.errors import SchemeError
from amssim.formats.ams.sub_tables import codes_of_entries, sub_tables
from amssim.formats.base import Format, MatrixShape, Parts, StoredPart
from amssim.formats.input_moments import InputMoments
from amssim.formats.named_field import NamedField
from amssim.formats.rounding.blocks import block_count
from amssim.formats.rounding.table import Table
from amssim.layout import layout
from amssim.rules import check_scale, check_search
from amssim.scheme import Scheme, scheme
from amssim.tensor.packed import PackedTensor
from amssim.tensor.quantize import dequantize, pack, quantize


@dataclass(frozen=True)
class Ams(Format):
    """``scheme`` as `amssim.quantize` stores it, a float32 scale per row or ``scale_block``.

    ``weighted`` lets the search and an ``mse`` scale weigh errors by the inputs' second moments.

    >>> Ams("fp5.33").name, Ams("fp4.25", scale="mse", scale_block=256).name
    ('fp5.33-e2m3', 'fp4.25-e2m2 mse g256')
    """

    formula: ClassVar[str] = "x + y + 1/k + 32/g, g the row by default"
    source: ClassVar[str] = "AMS-Quant, arXiv 2510.16045; choices of docs/FORMAT.md"
    simplified: ClassVar[str] = ""
    checked: ClassVar[str] = "amssim.reference, gfloat, ml_dtypes"
    uses: ClassVar[str] = "diagonal"
    #: Options that a subclass decides itself and therefore refuses.
    decides: ClassVar[tuple[str, ...]] = ()

    scheme: NamedField[Scheme] = NamedField(scheme)
    _: KW_ONLY
    search: str = "adaptive"
    scale: str = "absmax"
    scale_block: int | None = None
    weighted: bool = False

    def __post_init__(self) -> None:
        check_search(self.search)
        check_scale(self.scale)
        for option in self.decides:
            if getattr(self, option) != getattr(Ams, option):
                raise SchemeError(f"{self.name} decides {option!r} itself: leave it out")

    @property
    def name(self) -> str:
        """The scheme's name and what differs from the defaults."""
        parts = [self.scheme.name, self.search, self.scale]
        parts = [part for part in parts if part not in ("adaptive", "absmax")]
        parts += [f"g{self.scale_block}"] if self.scale_block else []
        return " ".join(parts + ["weighted"] * self.weighted)

    @property
    def family(self) -> str:
        """Kind of format: minifloats share no bit; AMS is what the published rules make."""
        if self.scheme.k == 1:
            return "minifloat"
        return "AMS" if self == Ams(self.scheme) else "AMS, other options"

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return the packed half-words and the float32 scales."""
        rows, cols = shape
        blocks = block_count(cols, self.scale_block or cols)
        words = layout(self.scheme).row_words(cols)
        return {"words": StoredPart((rows, words), 16), "scales": StoredPart((rows, blocks), 32)}

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Search the shared bits, round and pack."""
        packed = quantize(
            weights,
            self.scheme,
            search=self.search,
            scale=self.scale,
            scale_block=self.scale_block,
            importance=moments.importance if self.weighted and moments.known else None,
        )
        return {"words": packed.words, "scales": packed.scales}

    @property
    def k(self) -> int:
        """Weights of a group."""
        return self.scheme.k

    @property
    def tables(self) -> list[Table]:
        """A table of values for each value of the shared bit."""
        return [table for table, _ in sub_tables(self.scheme)]

    def parts_of(self, indices: np.ndarray, chosen: np.ndarray, scales: np.ndarray) -> Parts:
        """Return the parts of weights that are entries ``indices`` of the ``chosen`` tables.

        Args:
            indices: uint8[rows, cols] in `tables`.
            chosen: uint8[rows, groups] the table of each group.
            scales: float32[rows, blocks].
        """
        codes = codes_of_entries(self.scheme, indices, chosen)
        return {"words": pack(codes, self.scheme), "scales": scales}

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Unpack the codes and scale their values."""
        words, scales = parts["words"], parts["scales"]
        return dequantize(PackedTensor(self.scheme, shape, words, scales, self.scale_block))
