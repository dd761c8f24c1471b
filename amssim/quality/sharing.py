"""One way of sharing bits, with every choice open: what restores a matrix under it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from fractions import Fraction

import numpy as np

from amssim.errors import InputError, SchemeError
from amssim.formats.blocks import check_positive
from amssim.layout import layout
from amssim.rules import check_scale, check_search
from amssim.scheme import Scheme
from amssim.scheme import scheme as find_scheme
from amssim.tensor.quantize import quantize

#: ``input``: a group is k neighbours of a row, the packed form. ``output``: k rows at one column.
SHARE_AXES = ("input", "output")
#: ``stored``; ``columns``: one permutation for all rows, by the columns' norms; ``magnitude``:
#: each row sorted by |w|, which no layout can store and which bounds what a permutation can gain.
ORDERS = ("stored", "columns", "magnitude")


@dataclass(frozen=True)
class Choice:
    """Everything the sharing study varies.

    Args:
        scheme: element format and k, or its name.
        search, scale: rules of `amssim.rules`.
        scale_block: columns that share a scale; None is the row.
        share_axis: one of `SHARE_AXES`.
        order: one of `ORDERS`.
        weighted: whether the search and the scale weigh errors by the inputs' second moments.

    Raises:
        SchemeError: an unknown rule.
        InputError: ``weighted`` with an order or axis that has no weighted search.
    """

    scheme: Scheme | str
    search: str = "adaptive"
    scale: str = "absmax"
    scale_block: int | None = None
    share_axis: str = "input"
    order: str = "stored"
    weighted: bool = False

    def __post_init__(self):
        object.__setattr__(self, "scheme", find_scheme(self.scheme))
        check_search(self.search)
        check_scale(self.scale)
        if self.scale_block is not None:
            check_positive(scale_block=self.scale_block)
        for value, choices, what in (
            (self.share_axis, SHARE_AXES, "share axis"),
            (self.order, ORDERS, "order"),
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
        """Return the choices by name for JSON."""
        element = self.scheme.minifloat.name
        named = {"scheme": self.scheme.name, "element": element, "k": self.scheme.k}
        return named | {n: v for n, v in asdict(self).items() if n != "scheme"}


#: What a choice is unless it says otherwise, by the names of `Choice.as_dict`.
DEFAULTS = {f.name: f.default for f in fields(Choice) if f.name != "scheme"}


def plain(records: Iterable[dict], **changed) -> list[dict]:
    """Return the records with default options but for ``changed``; None there means any."""
    wanted = {n: v for n, v in (DEFAULTS | changed).items() if v is not None or n not in changed}
    return [r for r in records if all(r[n] == v for n, v in wanted.items())]


def arrange(weights: np.ndarray, order: str) -> np.ndarray:
    """Return the columns of ``weights`` in the given order; rows keep their places."""
    if order == "columns":
        norms = np.einsum("ij,ij->j", weights, weights, dtype=np.float64)
        return weights[:, np.argsort(norms)]
    if order == "magnitude":
        return np.take_along_axis(weights, np.argsort(np.abs(weights), axis=1), axis=1)
    return weights


def restore(
    weights: np.ndarray, choice: Choice, importance: np.ndarray | None = None
) -> np.ndarray:
    """Quantise and dequantise float32[rows, cols] ``weights``, already in the choice's order.

    Args:
        weights: finite.
        choice: how; its ``order`` is the caller's business, see `arrange`.
        importance: float32[cols], needed where the choice is weighted.
    """
    if choice.weighted and importance is None:
        raise InputError("a weighted search needs activations: give the inputs of the layer")
    importance = importance if choice.weighted else None
    if choice.share_axis == "output":
        return _restore_across_rows(weights, choice)
    return _restore_along_rows(weights, choice, importance)


def _restore_along_rows(weights, choice: Choice, importance) -> np.ndarray:
    return quantize(
        weights,
        choice.scheme,
        search=choice.search,
        scale=choice.scale,
        scale_block=choice.scale_block,
        importance=importance,
    ).dequantize()


def _restore_across_rows(weights: np.ndarray, choice: Choice) -> np.ndarray:
    """Scale along rows as always, then share down each column of the scaled weights.

    A group then mixes rows of different scales, so its errors count with the squared scales.
    """
    rows, cols = weights.shape
    block = choice.scale_block or cols
    largest = choice.scheme.minifloat.max_value
    scales = quantize(
        weights, choice.scheme, scale=choice.scale, scale_block=choice.scale_block
    ).scales
    restored = np.empty_like(weights)
    for b, start in enumerate(range(0, cols, block)):
        s = scales[:, b : b + 1]
        part = np.clip(weights[:, start : start + block] / s, -largest, largest)
        # one more group that holds the largest value keeps this second scale at 1
        tall = np.concatenate([part, np.zeros((-rows % choice.scheme.k + 1, part.shape[1]))])
        tall[-1] = largest
        squares = np.append((s / s.max()) ** 2, np.zeros(len(tall) - rows))
        values = quantize(
            np.ascontiguousarray(tall.T, np.float32),
            choice.scheme,
            search=choice.search,
            importance=squares.astype(np.float32),
        ).dequantize()
        restored[:, start : start + block] = values.T[:rows] * s
    return restored
