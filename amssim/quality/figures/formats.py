"""Figures that place formats beside each other: error, tails and perplexity against bits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amssim.figures import BLUE, GREY, figure, look, styled
from amssim.quality.record import QualityRecord

#: Line styles of the theoretical curves, by their names in recorded results.
BOUND_LINES = {"rate-distortion": "-", "entropy-coded": "--", "Lloyd-Max": ":"}
# Bits between two named formats, so that their names do not lie on each other.
_APART = 0.15


@styled
def error_against_bits(panels: Mapping[str, Mapping[str, Any]]) -> Figure:
    """SQNR against effective bits; a panel per kind of weights.

    Args:
        panels: by title, ``records`` with family, name, effective_bits and sqnr_db, and
            ``bounds``, points [bits, dB] by the names of `BOUND_LINES`, which may be empty.
    """
    drawn, axes = figure(len(panels), height=4.8)
    families = list(dict.fromkeys(r["family"] for p in panels.values() for r in p["records"]))
    for ax, (title, panel) in zip(axes, panels.items(), strict=True):
        # Weights that a format holds exactly, such as those of a packed model, are off the scale.
        records = [r for r in panel["records"] if r["sqnr_db"] is not None]
        _scatter(ax, records, families, "sqnr_db")
        _name(ax, records, "sqnr_db", highest=True)
        for name, points in panel["bounds"].items():
            xs, ys = zip(*points, strict=True)
            ax.plot(xs, ys, BOUND_LINES[name], color=GREY, linewidth=1, label=name)
        ax.set(xlabel="effective bits per weight", ylabel="SQNR, dB", title=title)
        if records:
            _limit(ax, records, "sqnr_db")
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return drawn


@styled
def perplexity_against_bits(
    records: Sequence[QualityRecord], stored: float, *, title: str = ""
) -> Figure:
    """Perplexity against effective bits; ``stored`` is that of the model as it is."""
    drawn, (ax,) = figure(height=4.4)
    families = list(dict.fromkeys(r["family"] for r in records))
    _scatter(ax, records, families, "perplexity")
    _name(ax, records, "perplexity", highest=False)
    ax.axhline(stored, color=GREY, linewidth=1, linestyle="--")
    ax.annotate("as stored", (0.01, stored), xycoords=("axes fraction", "data"), va="bottom",
                color=GREY, fontsize=8)  # fmt: skip
    ax.set(xlabel="effective bits per weight", ylabel="perplexity", title=title)
    _limit(ax, records, "perplexity", stored)
    ax.legend()
    return drawn


@styled
def tail_curves(records: Sequence[QualityRecord], *, title: str = "") -> Figure:
    """SQNR against the shape of a generalised normal density, a line per format."""
    drawn, (ax,) = figure(height=4.0)
    names = list(dict.fromkeys(r["name"] for r in records))
    for i, name in enumerate(names):
        own = sorted((r for r in records if r["name"] == name), key=lambda r: r["shape"])
        bits = own[0]["effective_bits"]
        xs, ys = [r["shape"] for r in own], [r["sqnr_db"] for r in own]
        ax.plot(xs, ys, label=f"{name} ({bits:.2f})", **look(i))
    ax.set_xscale("log")
    ticks = sorted({r["shape"] for r in records})
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set(xlabel="shape of the density (2 normal, 1 Laplace, less: heavier tails)",
           ylabel="SQNR, dB", title=title)  # fmt: skip
    ax.legend(title="format (bits)", ncols=2)
    return drawn


#: What `divergence_against_error` draws, by the name of the recorded figure.
ERRORS = {"sqnr_db": "SQNR of the weights, dB", "output_sqnr_db": "SQNR of the outputs, dB"}


@styled
def divergence_against_error(records: Sequence[QualityRecord]) -> Figure:
    """KL divergence of each format against its error in the weights and in the outputs.

    The line in each panel is proportional to the power of the noise, through the middle of the
    records.
    """
    drawn, axes = figure(len(ERRORS), height=4.2)
    families = list(dict.fromkeys(r["family"] for r in records))
    for ax, (name, label) in zip(axes, ERRORS.items(), strict=True):
        for i, family in enumerate(families):
            own = [r for r in records if r["family"] == family]
            xs, ys = [r[name] for r in own], [r["kl_mean"] for r in own]
            ax.plot(xs, ys, label=family, linestyle="", **look(i))
        middle = median(math.log10(r["kl_mean"]) + r[name] / 10 for r in records)
        ends = [min(r[name] for r in records), max(r[name] for r in records)]
        ax.plot(ends, [10 ** (middle - x / 10) for x in ends], "--", color=GREY, linewidth=1,
                label="proportional to noise")  # fmt: skip
        ax.set(xlabel=label, ylabel="mean KL divergence, nats", yscale="log")
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return drawn


def _scatter(ax: Axes, records: Sequence[QualityRecord], families: list[str], value: str) -> None:
    """A marker per family; the first family's, the AMS formats', joined by a line."""
    for i, family in enumerate(families):
        own = sorted((r for r in records if r["family"] == family), key=lambda r: _at(r, value))
        xs, ys = [r["effective_bits"] for r in own], [r[value] for r in own]
        line = "-" if family == families[0] else ""
        ax.plot(xs, ys, label=family, linestyle=line, zorder=3 if line else 2, **look(i))


def _name(ax: Axes, records: Sequence[QualityRecord], value: str, highest: bool) -> None:
    """Write the names of the AMS formats, and of others on the `frontier`."""
    line = [r for r in records if r["family"] == "AMS"]
    best: list[QualityRecord] = []
    for r in reversed(frontier(records, value, highest)):
        if all(abs(r["effective_bits"] - b["effective_bits"]) > _APART for b in best):
            best.append(r)
    outward, inward = ((0, 6), (5, -9)) if highest else ((0, -12), (4, 5))
    for r in [*line, *(r for r in best if r not in line)]:
        offset, side, colour = (inward, "left", BLUE) if r in line else (outward, "right", GREY)
        name = r["name"].removesuffix(", calibrated").replace("-e2m2", "").replace("-e2m3", "")
        ax.annotate(name, _at(r, value), xytext=offset, textcoords="offset points",
                    ha=side, fontsize=6.5, color=colour)  # fmt: skip


def frontier(records: Sequence[QualityRecord], value: str, highest: bool) -> list[QualityRecord]:
    """Return the records, by bits, that are better than every record with as few bits.

    >>> records = [{"effective_bits": b, "db": v} for b, v in ((4, 20), (4, 21), (5, 19), (6, 30))]
    >>> [r["db"] for r in frontier(records, "db", highest=True)]
    [21, 30]
    """
    sign = -1 if highest else 1
    best: list[QualityRecord] = []
    for r in sorted(records, key=lambda r: (r["effective_bits"], sign * r[value])):
        if not best or sign * r[value] < sign * best[-1][value]:
            best.append(r)
    return best


def _at(record: QualityRecord, value: str) -> tuple[float, float]:
    return record["effective_bits"], record[value]


def _limit(ax: Axes, records: Sequence[QualityRecord], value: str, *others: float) -> None:
    """Set the axes' limits to the records and ``others``; curves may leave them."""
    for axis, numbers in (
        (ax.set_xlim, [r["effective_bits"] for r in records]),
        (ax.set_ylim, [*others, *(r[value] for r in records)]),
    ):
        low, high = min(numbers), max(numbers)
        margin = 0.08 * (high - low) or 1.0
        axis(low - 1.7 * margin, high + margin)
