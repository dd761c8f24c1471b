"""``--output FILE``: a record written to a new file, checked before the work begins."""

from __future__ import annotations

import argparse
from pathlib import Path

from amssim.errors import OutputError


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option ``--output``."""
    parser.add_argument("--output", type=Path, metavar="FILE", help=what)


def check_new(path: Path | None) -> None:
    """Raise `OutputError` unless ``path`` can become a new file; None is no file."""
    if path is None:
        return
    if path.exists():
        raise OutputError(f"{path} exists already: name a new file")
    if not path.parent.is_dir():
        raise OutputError(f"{path} cannot be written: there is no directory {path.parent}")


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        OutputError: it is there, or the system refuses.
    """
    check_new(path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None
