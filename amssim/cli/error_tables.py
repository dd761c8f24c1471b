"""Tables of the sharing study: one per question, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from amssim.cli import terminal
from amssim.quality.record import QualityRecord, decibels, gap
from amssim.quality.sharing.options import DEFAULT_OPTIONS, matching
from amssim.rules import SEARCH_RULES
from amssim.scheme import PUBLISHED

if TYPE_CHECKING:
    from amssim.cli.tables import TextTable

_FIGURES = {
    "effective_bits": ("bits", ".3f"),
    "sqnr_db": ("SQNR dB", ".2f"),
    "output_sqnr_db": ("output dB", ".2f"),
    "relative_frobenius": ("rel. error", ".4f"),
    "max_error": ("max", ".3g"),
    "p99_error": ("p99", ".3g"),
    "cosine": ("cosine", ".6f"),
}
_ORDERS = {"columns": "columns sorted by norm", "magnitude": "each row sorted (a bound)"}


def study_tables(records: Sequence[QualityRecord]) -> Iterator[tuple[str, TextTable]]:
    """Yield (question, table) for the records of the default study."""
    yield "What k costs: SQNR in dB", k_table(records)
    yield "What the search rule gains: SQNR in dB, and how far others fall short", rules(records)
    yield "Axis, order, scales: SQNR in dB at effective bits", options(records)
    if any(r.get("output_sqnr_db") is not None for r in records):
        yield "The same in the layers' outputs, in dB", options(records, figure="output_sqnr_db")


def k_table(records: Sequence[QualityRecord]) -> TextTable:
    """A row per element, a column per k."""
    usual = matching(records)
    sizes = sorted({r["k"] for r in usual})
    table = terminal.table("element", *(f"k={k}" for k in sizes))
    for element in dict.fromkeys(r["element"] for r in usual):
        own = {r["k"]: decibels(r) for r in usual if r["element"] == element}
        table.add_row(element, *(f"{own[k]:.2f}" if k in own else "" for k in sizes))
    return table


def rules(records: Sequence[QualityRecord]) -> TextTable:
    """A row per scheme, a column per search rule."""
    table = terminal.table("scheme", *SEARCH_RULES)
    tried = matching(records, search=None)
    for scheme in dict.fromkeys(r["scheme"] for r in tried if r["search"] != "adaptive"):
        own = {r["search"]: r for r in tried if r["scheme"] == scheme}
        best = own["adaptive"]
        losses = (gap(own[rule], best, form="+.2f") for rule in SEARCH_RULES[1:])
        table.add_row(scheme, f"{decibels(best):.2f}", *losses)
    return table


def options(records: Sequence[QualityRecord], *, figure: str = "sqnr_db") -> TextTable:
    """A row per other choice, two columns per published scheme."""
    names = [s.name for s in PUBLISHED]
    table = terminal.table("choice", *(h for name in names for h in ("bits", name)))
    rows: dict[str, dict[str, QualityRecord]] = {}
    for r in records:
        if r["scheme"] in names and r["search"] == "adaptive":
            rows.setdefault(label(r), {})[r["scheme"]] = r
    for name, own in rows.items():
        if any(figure in r for r in own.values()):
            cells = [_bits_and_db(own.get(scheme), figure) for scheme in names]
            table.add_row(name, *(c for pair in cells for c in pair))
    return table


def flat_table(records: Sequence[QualityRecord]) -> TextTable:
    """A row per record: what its choice changes, then every figure."""
    shown = [n for n in _FIGURES if any(n in r for r in records)]
    table = terminal.table("choice", *(_FIGURES[name][0] for name in shown))
    for r in records:
        cells = ["inf" if r.get(n) is None else f"{r[n]:{_FIGURES[n][1]}}" for n in shown]
        changed = "" if label(r) == "default" else f" {label(r)}"
        table.add_row(r["scheme"] + changed, *cells)
    return table


def label(record: QualityRecord) -> str:
    """What a choice changes, in words: ``scale mse, block 256``."""
    changed = {n: record[n] for n, usual in DEFAULT_OPTIONS.items() if record[n] != usual}
    words: dict[str, str | None] = {
        "search": changed.get("search"),
        "scale": f"scale {changed.get('scale')}",
        "scale_block": f"block {changed.get('scale_block')}",
        "share_axis": "groups across rows",
        "order": _ORDERS.get(record["order"]),
        "weighted": "weighted",
    }
    return ", ".join(str(words[n]) for n in changed) or "default"


def _bits_and_db(record: QualityRecord | None, figure: str) -> tuple[str, str]:
    if record is None:
        return "", ""
    value = record.get(figure)
    return f"{record['effective_bits']:.2f}", "inf" if value is None else f"{value:.2f}"
