"""Tables of plain text: the first column is text, the others are aligned to the right."""

from __future__ import annotations

import os
import sys
from itertools import zip_longest

from amssim._text import shown

_GAP = "  "
_LEAST = 12


class TextTable:
    r"""Rows under headings; as text it fits the terminal, and has whole cells in a file.

    Cells may come out of files: what is not printable in them is escaped.

    >>> rows = TextTable("tensor", "size")
    >>> rows.add_row("a\x1b[2J", "1")
    >>> print(str(rows).strip())
    tensor    size
    ──────────────
    a\x1b[2J     1
    """

    def __init__(self, *headings: str):
        self._rows: list[list[str] | None] = []
        self._headings = [shown(heading) for heading in headings]

    def add_row(self, *cells: str) -> None:
        """Add a row; cells that are not given are empty."""
        empty = [""] * (len(self._headings) - len(cells))
        self._rows.append([*map(shown, cells), *empty])

    def add_section(self) -> None:
        """Leave a line free before the next row."""
        self._rows.append(None)

    def __str__(self) -> str:
        rows = [row for row in (self._headings, *self._rows) if row is not None]
        widths = [max(map(cell_width, column)) for column in zip(*rows, strict=True)]
        _narrow(widths)
        head = _lines(self._headings, widths)
        lines = ["", *head, "─" * (sum(widths) + len(_GAP) * (len(widths) - 1))]
        for row in self._rows:
            lines += [""] if row is None else _lines(row, widths)
        return "\n".join([*lines, ""])


def screen_width() -> int | None:
    """Columns of the terminal, or what COLUMNS says; None where lines may have any length."""
    if not (sys.stdout.isatty() or os.environ.get("COLUMNS")):
        return None
    import shutil

    return shutil.get_terminal_size().columns


def wrapped(text: str) -> str:
    """Break lines between words where they do not fit the terminal."""
    room = screen_width()
    if not room or len(text) <= room:
        return text
    import textwrap

    lines = text.split("\n")
    wrap = textwrap.TextWrapper(room, break_long_words=False, break_on_hyphens=False).fill
    return "\n".join(line if len(line) <= room else wrap(line) for line in lines)


def cell_width(text: str) -> int:
    """Columns of a terminal that ``text`` takes: wide characters take two, accents none.

    >>> [cell_width(text) for text in ("weight", "重み", "e\u0301")]
    [6, 4, 1]
    """
    if text.isascii():
        return len(text)
    return sum(_character_width(c) for c in text)


def _character_width(character: str) -> int:
    if character.isascii():
        return 1
    import unicodedata

    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _narrow(widths: list[int]) -> None:
    """Make the widest column fit a terminal; a file gets whole cells."""
    room = screen_width()
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - (room or 0)
    if room and excess > 0:
        widest = widths.index(max(widths))
        widths[widest] = max(min(_LEAST, widths[widest]), widths[widest] - excess)


def _lines(cells: list[str], widths: list[int]) -> list[str]:
    """Lines of a row: cells that are too wide go on below."""
    folded = [_folded(cell, width) for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for pieces in zip_longest(*folded, fillvalue=""):
        padded = [_padded(piece, widths[i], i > 0) for i, piece in enumerate(pieces)]
        lines.append(_GAP.join(padded).rstrip())
    return lines


def _folded(text: str, width: int) -> list[str]:
    """Pieces that are no wider; a name is cut before a dot if there is one in its second half."""
    pieces, taken = [""], 0
    for character in text:
        taken += _character_width(character)
        if taken > width:
            whole, dot = pieces[-1], pieces[-1].rfind(".")
            carried = whole[dot:] if character != "." and 2 * dot > len(whole) else ""
            pieces[-1:] = [whole.removesuffix(carried), carried]
            taken = cell_width(carried + character)
        pieces[-1] += character
    return pieces


def _padded(text: str, width: int, right: bool) -> str:
    room = " " * (width - cell_width(text))
    return room + text if right else text + room
