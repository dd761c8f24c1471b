"""Saves figures as SVG under docs/figures, in the one style of amssim/figures.py."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from amssim.figures import file_bytes

FIGURES = Path(__file__).parents[1] / "docs" / "figures"


def save(figure: Figure, name: str) -> None:
    """Write docs/figures/``name``.svg; the same figure always has the same bytes."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    (FIGURES / f"{name}.svg").write_bytes(file_bytes(figure, "svg"))
