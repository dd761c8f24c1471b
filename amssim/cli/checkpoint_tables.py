"""Tables about the tensors of a checkpoint."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

from amssim._units import short_number, size
from amssim.cli.terminal import table

if TYPE_CHECKING:
    from amssim.checkpoint import LogicalTensor, Portion, Summary
    from amssim.cli.tables import TextTable


def summary_table(summary: Summary) -> TextTable:
    """Schemes, kept tensors by reason, and the total."""
    rows = table("stored as", "tensors", "weights", "size", "bits/weight")
    for portion in summary.portions():
        reason = f" ({portion.reason})" if portion.reason else ""
        rows.add_row(portion.form + reason, *_figures(portion))
    rows.add_section()
    rows.add_row("total", *_figures(summary.total))
    return rows


def tensor_table(summary: Summary) -> TextTable:
    """Every tensor; those that differ only in a layer's number share a row."""
    alike: dict[tuple[str, tuple[int, ...], tuple[str, str]], list[LogicalTensor]] = {}
    for tensor in summary.tensors:
        key = (_pattern(tensor.name), tensor.shape, tensor.treatment)
        alike.setdefault(key, []).append(tensor)
    rows = table("tensor", "count", "shape", "stored as")
    for (name, shape, (form, reason)), tensors in alike.items():
        form += f" ({reason})" if reason else ""
        rows.add_row(name, str(len(tensors)), "x".join(map(str, shape)) or "scalar", form)
    return rows


def coverage_line(summary: Summary) -> str:
    """How much is quantised, in a sentence."""
    packed = summary.packed
    if not packed.tensors:
        return "nothing is quantised"
    share, bits = f"{float(summary.coverage):.1%}", _bits(packed.effective_bits)
    whole = _bits(summary.total.effective_bits)
    return f"{share} of the weights are quantised: {bits} effective bits, {whole} over all"


def _figures(portion: Portion) -> list[str]:
    bits = _bits(portion.effective_bits)
    return [
        str(len(portion.tensors)),
        short_number(portion.weight_count),
        size(portion.nbytes),
        bits,
    ]


def _bits(value: Fraction | None) -> str:
    return "" if value is None else f"{float(value):.3f}"


def _pattern(name: str) -> str:
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", name)
