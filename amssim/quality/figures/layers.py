"""The error of every layer of a model at a glance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amssim._text import tail
from amssim.figures import CYCLE, GREY, MARKERS, figure, styled

_SHAPES = (0.25, 0.35, 0.5, 0.7, 1, 1.2, 1.4, 1.7, 2, 2.4, 2.8, 4, 5.6, 8, 16)
_PLACE = re.compile(r"^(?P<before>.*?)(?<!\d)(?P<index>\d+)\.(?P<part>.*?)(\.weight)?$")


@styled
def layer_tails(
    layers: Sequence[Mapping[str, Any]],
    curves: Mapping[str, Sequence[Sequence[float]]],
    *,
    title: str = "",
) -> Figure:
    """SQNR of each matrix against the shape of its weights, and what the closed form expects.

    Args:
        layers: records with ``format``, ``shape`` (2 normal, 1 Laplace) and ``sqnr_db``.
        curves: points [shape, dB] of each format.
        title: of the figure.
    """
    drawn, (ax,) = figure(height=3.8)
    for i, (name, points) in enumerate(curves.items()):
        own = [r for r in layers if r["format"] == name]
        ax.plot([r["shape"] for r in own], [r["sqnr_db"] for r in own], MARKERS[i],
                color=CYCLE[i], markersize=4, label=name)  # fmt: skip
        ax.plot(*zip(*points, strict=True), "--", color=CYCLE[i], linewidth=1)
    ax.plot([], [], "--", color=GREY, label="closed form")
    ax.set_xscale("log")
    shapes = [shape for points in curves.values() for shape, _ in points]
    ticks = [t for t in _SHAPES if min(shapes) <= t <= max(shapes)]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set(xlabel="shape of the weights (2 normal, 1 Laplace, less: heavier tails)",
           ylabel="SQNR, dB", title=title)  # fmt: skip
    ax.legend()
    return drawn


@styled
def layer_map(values: Mapping[str, float], title: str, label: str) -> Figure:
    """One cell per matrix: its layer to the right, its place in the layer downwards.

    Names without a number, and numbers that repeat, share column 0 by their whole names.
    """
    cells = {name: _place(name) for name in values}
    parts = list(dict.fromkeys(part for _, part in cells.values()))
    columns = sorted({index for index, _ in cells.values()})
    grid = np.full((len(parts), len(columns)), np.nan)
    for name, (index, part) in cells.items():
        grid[parts.index(part), columns.index(index)] = values[name]
    drawn, (ax,) = figure(height=1.2 + 0.26 * len(parts))
    image = ax.imshow(grid, aspect="auto", cmap="viridis")
    ax.grid(False)
    ax.set(xlabel="layer", title=title)
    every = max(1, len(columns) // 16)
    ax.set_xticks(range(0, len(columns), every), [str(c) for c in columns[::every]])
    names = [tail(part.replace("self_attn.", "")) for part in parts]
    ax.set_yticks(range(len(parts)), names, parse_math=False)  # a dollar is a dollar
    drawn.colorbar(image, ax=ax, label=label, shrink=0.9)
    if grid.size <= 160:
        _write_values(ax, grid)
    return drawn


def _place(name: str) -> tuple[int, str]:
    place = _PLACE.match(name)
    return (int(place["index"]), place["part"]) if place else (0, name)


def _write_values(ax: Axes, grid: np.ndarray) -> None:
    middle = np.nanmean([np.nanmin(grid), np.nanmax(grid)])
    for (i, j), value in np.ndenumerate(grid):
        if np.isfinite(value):
            colour = "white" if value < middle else "black"
            ax.text(j, i, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=7)
