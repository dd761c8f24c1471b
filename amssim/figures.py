"""The one look of every figure, whoever draws it: sizes, colours, markers, and its bytes.

Matplotlib is loaded when the first figure is drawn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from io import BytesIO
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CYCLE", "MARKERS", "figure", "file_bytes", "look", "style", "styled", "svg"]

P = ParamSpec("P")

#: Okabe and Ito's colours, which stay apart for every kind of colour vision.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#B8A100",
    "#6E6E6E",
)
CYCLE = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, YELLOW, GREY)
MARKERS = "osD^vPX*"

#: SVG metadata would hold the date and links.
NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))

#: Matplotlib's settings of the style.
RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "amssim",  # the same figure has the same bytes
    "svg.fonttype": "path",
    "figure.dpi": 110,
    "savefig.dpi": 160,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in this style inside the block."""
    import matplotlib

    with matplotlib.rc_context(RC):
        yield


def figure(panels: int = 1, *, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``panels`` axes side by side; ``height`` in inches."""
    from matplotlib.figure import Figure

    width = {1: 6.0, 2: 8.4}.get(panels, 3.7 * panels)
    made = Figure(figsize=(width, height), layout="constrained")
    return made, list(made.subplots(1, panels, squeeze=False)[0])


def look(i: int) -> dict[str, Any]:
    """Colour and marker of series ``i``, as options of ``Axes.plot``."""
    return {"color": CYCLE[i % len(CYCLE)], "marker": MARKERS[i % len(MARKERS)]}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a drawing function use the style."""

    @wraps(draw)
    def drawn(*args: P.args, **options: P.kwargs) -> Figure:
        with style():
            return draw(*args, **options)

    return drawn


def file_bytes(drawn: Figure, kind: str) -> bytes:
    """Return a figure as a file of ``kind``: svg, png or pdf. The same SVG has the same bytes."""
    content = BytesIO()
    with style(), warnings.catch_warnings():
        # labels may be names out of files, in any script
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        drawn.savefig(content, format=kind, metadata=NO_METADATA if kind == "svg" else None)
    return content.getvalue()


def svg(drawn: Figure) -> str:
    """Return a figure as the SVG element alone, for a page."""
    document = file_bytes(drawn, "svg").decode()
    return document[document.index("<svg") :]
