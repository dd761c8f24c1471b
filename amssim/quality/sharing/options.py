"""Options of the sharing study: each describes one way of sharing bits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, asdict, dataclass, fields
from fractions import Fraction
from typing import Any

from amssim.errors import InputError, SchemeError
from amssim.formats.named_field import NamedField
from amssim.formats.rounding.blocks import check_positive
from amssim.layout import layout
from amssim.quality.record import QualityRecord
from amssim.rules import check_scale, check_search
from amssim.scheme import Scheme
from amssim.scheme import scheme as find_scheme

#: ``input``: a group is k neighbours of a row, the packed form. ``output``: k rows at one column.
SHARE_AXES = ("input", "output")
#: ``stored``; ``columns``: one permutation for all rows, by the columns' norms; ``magnitude``:
#: each row sorted by |w|, which no layout can store and which bounds what a permutation can gain.
WEIGHT_ORDERS = ("stored", "columns", "magnitude")


@dataclass(frozen=True)
class SharingOptions:
    """Everything the sharing study varies.

    Args:
        scheme: element format and k, or its name.
        search, scale: rules of `amssim.rules`.
        scale_block: columns that share a scale; None is the row.
        share_axis: one of `SHARE_AXES`.
        order: one of `WEIGHT_ORDERS`.
        weighted: whether the search and the scale weigh errors by the inputs' second moments.

    Raises:
        SchemeError: an unknown rule.
        InputError: ``weighted`` with an order or axis that has no weighted search.
    """

    scheme: NamedField[Scheme] = NamedField(find_scheme)
    _: KW_ONLY
    search: str = "adaptive"
    scale: str = "absmax"
    scale_block: int | None = None
    share_axis: str = "input"
    order: str = "stored"
    weighted: bool = False

    def __post_init__(self) -> None:
        check_search(self.search)
        check_scale(self.scale)
        if self.scale_block is not None:
            check_positive(scale_block=self.scale_block)
        for value, choices, what in (
            (self.share_axis, SHARE_AXES, "share axis"),
            (self.order, WEIGHT_ORDERS, "order"),
        ):
            if value not in choices:
                raise SchemeError(f"unknown {what} {value!r}: choose one of {', '.join(choices)}")
        if self.weighted and (self.share_axis, self.order) != ("input", "stored"):
            raise InputError("a weighted search needs share_axis='input' and order='stored'")

    def effective_bits(self, shape: tuple[int, int]) -> Fraction:
        """Stored bits per weight of a matrix of ``shape``: codes, padding and float32 scales."""
        cols = shape[1]
        blocks = -(-cols // self.scale_block) if self.scale_block else 1
        return Fraction(16 * layout(self.scheme).row_words(cols) + 32 * blocks, cols)

    def as_dict(self) -> dict[str, object]:
        """Return the options by name for JSON."""
        element = self.scheme.minifloat.name
        named = {"scheme": self.scheme.name, "element": element, "k": self.scheme.k}
        return named | {n: v for n, v in asdict(self).items() if n != "scheme"}


#: What each option is where nothing is said, by the names of `SharingOptions.as_dict`.
DEFAULT_OPTIONS = {f.name: f.default for f in fields(SharingOptions) if f.name != "scheme"}


def matching(records: Iterable[QualityRecord], **changed: Any) -> list[QualityRecord]:
    """Return the records with default options but for ``changed``; None there means any."""
    wanted = {
        n: v for n, v in (DEFAULT_OPTIONS | changed).items() if v is not None or n not in changed
    }
    return [r for r in records if all(r[n] == v for n, v in wanted.items())]
