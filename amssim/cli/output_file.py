"""``--output FILE``: a record written to a new file, checked before the work begins."""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

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
    if os.path.lexists(path):  # a link that leads nowhere as well
        raise OutputError(f"{path} exists already: name a new file")
    if not os.path.isdir(path.parent):  # noqa: PTH112  no error for names of any kind
        raise OutputError(f"{path} cannot be written: there is no directory {path.parent}")


def write_records(
    path: Path | None, schema: str, record: dict[str, Any], rows: Sequence[dict[str, Any]]
) -> None:
    """Write ``record`` as JSON or, for a name in .csv, its ``rows`` as CSV; None is no file.

    Raises:
        OutputError: see `write_new`.
    """
    if path is None:
        return
    if path.suffix.lower() != ".csv":
        write_record(path, schema, record)
        return
    text = StringIO()
    writer = csv.DictWriter(text, dict.fromkeys(n for r in rows for n in r), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_new(path, text.getvalue())


def write_record(path: Path | None, schema: str, record: dict[str, Any]) -> None:
    """Write ``record`` as JSON; None is no file. Errors as `write_new`."""
    if path is not None:
        write_new(path, json.dumps({"schema": schema} | record, indent=1, allow_nan=False) + "\n")


def write_new(path: Path, content: str | bytes) -> None:
    """Write a file that is not there yet, under its name only when it is complete.

    Raises:
        OutputError: it is there, or the system refuses.
    """
    check_new(path)
    try:
        replace(path, content)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None


def replace(path: Path, content: str | bytes) -> None:
    """Write a file under its name only when it is complete, in place of one that may be there.

    Raises:
        OSError: the system refuses.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
