"""What every verb prints with: tables of plain text, JSON, a progress bar."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from amssim.checkpoint.safetensors.names import shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")


def add_work(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that take a while."""
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: all CPUs)")
    parser.add_argument(
        "--progress",
        choices=["auto", "none"],
        default="auto",
        help="auto: a bar on standard error where that is a terminal (%(default)s)",
    )


def print_json(schema: str, value: dict) -> None:
    """Print one JSON object; ``schema`` names its form and the version of that."""
    print(json.dumps({"schema": schema} | value, indent=2, allow_nan=False))


def console() -> Console:
    """Return a console that shows text as it is: names out of files are no markup."""
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


def table(*columns: str) -> Table:
    """Return a table: the first column is text, the others are aligned to the right."""
    from rich import box
    from rich.table import Table

    found = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for i, heading in enumerate(columns):
        found.add_column(heading, justify="right" if i else "left", overflow="fold")
    return found


@contextmanager
def progress_bar(mode: str, what: str) -> Iterator[Callable[[int, int, str], None] | None]:
    """Yield what `quantize_checkpoint` calls ``progress``, or None off a terminal."""
    if mode == "none" or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    columns = (f"{what}", BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what)
        yield lambda done, total, name: bar.update(task, completed=done, total=total)


def tail(name: str, width: int = 30) -> str:
    """Return the end of a long name, which tells tensors apart, printable.

    >>> tail("model.layers.0.mlp.down_proj.weight", 20)
    '...down_proj.weight'
    """
    name = shown(name)
    return name if len(name) <= width else "..." + name[3 - width :]


def size(nbytes: int) -> str:
    """Return bytes with a decimal unit: 11.2 MB."""
    return _scaled(nbytes, (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)), " B")


def count(number: int) -> str:
    """Return a count with a unit: 27.3 M."""
    return _scaled(number, (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)), "")


def _scaled(number: int, units: tuple[tuple[str, float], ...], unit: str) -> str:
    for name, step in units:
        if number >= step:
            return f"{number / step:.3g} {name}"
    return f"{number}{unit}"
