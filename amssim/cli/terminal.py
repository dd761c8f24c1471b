"""What every verb prints with: tables of plain text, JSON, a progress bar."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: What `add_parser` of a verb adds its parser to.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


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


def print_json(schema: str, value: dict[str, Any]) -> None:
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

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for i, heading in enumerate(columns):
        made.add_column(heading, justify="right" if i else "left", overflow="fold")
    return made


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


def shown(text: str) -> str:
    r"""Return ``text`` with everything that is not printable escaped.

    >>> print(shown("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def tail(name: str, width: int = 30) -> str:
    """Return the end of a long name, which tells tensors apart, printable.

    >>> tail("model.layers.0.mlp.down_proj.weight", 19)
    '...down_proj.weight'
    """
    name = shown(name)
    return name if len(name) <= width else "..." + name[3 - width :]
