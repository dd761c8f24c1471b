"""Tables about the tensors of a checkpoint."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

from amssim._units import count, size
from amssim.checkpoint.safetensors.names import shown
from amssim.cli.terminal import table

if TYPE_CHECKING:
    from rich.table import Table

    from amssim.checkpoint.jobs.summary import Group, Summary
    from amssim.checkpoint.packed.contents import Content


def summary_table(summary: Summary) -> Table:
    """Schemes, kept tensors by reason, and the total."""
    found = table("stored as", "tensors", "weights", "size", "bits/weight")
    for group in summary.groups():
        reason = f" ({shown(group.reason)})" if group.reason else ""
        found.add_row(shown(group.form) + reason, *_figures(group))
    found.add_section()
    found.add_row("total", *_figures(summary.total))
    return found


def tensor_table(summary: Summary) -> Table:
    """Every tensor; those that differ only in a layer's number share a row."""
    from amssim.checkpoint.jobs.summary import treatment

    rows: dict[tuple, list[Content]] = {}
    for content in summary.tensors:
        key = (_pattern(content.name), content.shape, treatment(content))
        rows.setdefault(key, []).append(content)
    found = table("tensor", "count", "shape", "stored as")
    for (name, shape, (form, reason)), members in rows.items():
        form = shown(form + (f" ({reason})" if reason else ""))
        found.add_row(shown(name), str(len(members)), "x".join(map(str, shape)) or "scalar", form)
    return found


def coverage_line(summary: Summary) -> str:
    """How much is quantised, in a sentence."""
    packed = summary.packed
    if not packed.tensors:
        return "nothing is quantised"
    share, bits = f"{float(summary.coverage):.1%}", _bits(packed.effective_bits)
    whole = _bits(summary.total.effective_bits)
    return f"{share} of the weights are quantised: {bits} effective bits, {whole} over all"


def _figures(group: Group) -> list[str]:
    bits = _bits(group.effective_bits)
    return [str(len(group.tensors)), count(group.weights), size(group.nbytes), bits]


def _bits(value: Fraction | None) -> str:
    return "" if value is None else f"{float(value):.3f}"


def _pattern(name: str) -> str:
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", name)
