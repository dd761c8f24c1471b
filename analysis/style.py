"""Where figures go, and in which form: SVG and PNG under docs/figures, one style for all."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from amssim.figures import NO_METADATA, style

FIGURES = Path(__file__).parents[1] / "docs" / "figures"


def save(figure: Figure, name: str) -> None:
    """Write docs/figures/``name``.svg and .png; the same figure always has the same bytes."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    with style():
        figure.savefig(FIGURES / f"{name}.svg", metadata=NO_METADATA)
        figure.savefig(FIGURES / f"{name}.png", metadata={"Software": None})
