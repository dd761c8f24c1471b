"""``amssim error --plot FILE``: the figures of the study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amssim.cli import output_file
from amssim.errors import InputError, OutputError

if TYPE_CHECKING:
    from amssim.quality.record import QualityRecord

_NAMES = ("cost_of_k", "cost_of_search", "cost_of_scales")
_FORMATS = (".svg", ".png", ".pdf")


def check_plots(path: Path) -> None:
    """Raise `OutputError` unless every figure can become a new file of a known kind."""
    if path.suffix.lower() not in _FORMATS:
        raise OutputError(f"{path} cannot be drawn: expected a name in {', '.join(_FORMATS)}")
    for name in _NAMES:
        output_file.check_new(_target(path, name))


def draw_plots(path: Path, records: Sequence[QualityRecord]) -> None:
    """Write the figures that ``records`` have something to show in.

    Raises:
        InputError: none of them.
    """
    from amssim.figures import file_bytes
    from amssim.quality.figures import sharing

    drawn = {name: getattr(sharing, name)(records) for name in _NAMES}
    shown = {name: f for name, f in drawn.items() if any(ax.lines for ax in f.axes)}
    if not shown:
        raise InputError("no figure shows these choices: leave them out to draw the whole study")
    for name, figure in shown.items():
        content = file_bytes(figure, path.suffix[1:].lower())
        output_file.write_new(_target(path, name), content)


def _target(path: Path, name: str) -> Path:
    return path.with_name(f"{path.stem}_{name}{path.suffix}")
