"""``--output FILE``: a record written to a new file, checked before the work begins."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from amssim.errors import OutputError


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--output`` for records."""
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the records: CSV if FILE ends in .csv, else JSON",
    )


def check_new(path: Path | None) -> None:
    """Raise `OutputError` unless ``path`` can become a new file; None is no file."""
    if path is None:
        return
    if path.exists():
        raise OutputError(f"{path} exists already: name a new file")
    if not path.parent.is_dir():
        raise OutputError(f"{path} cannot be written: there is no directory {path.parent}")


def write_records(path: Path | None, schema: str, found: dict, records: Sequence[dict]) -> None:
    """Write ``found`` as JSON or, for a name in .csv, its ``records`` as CSV; None is no file.

    Raises:
        OutputError: see `write_new`.
    """
    if path is None:
        return
    if path.suffix.lower() != ".csv":
        write_new(path, json.dumps({"schema": schema} | found, indent=1, allow_nan=False) + "\n")
        return
    text = StringIO()
    writer = csv.DictWriter(text, dict.fromkeys(n for r in records for n in r), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    write_new(path, text.getvalue())


def write_new(path: Path, content: str | bytes) -> None:
    """Write a file that is not there yet, under its name only when it is complete.

    Raises:
        OutputError: it is there, or the system refuses.
    """
    check_new(path)
    partial = path.with_name(f".{path.name}.partial")
    data = content.encode() if isinstance(content, str) else content
    try:
        partial.write_bytes(data)
        partial.rename(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
