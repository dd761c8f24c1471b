"""What every verb prints with: text and tables, JSON, a progress bar."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias, cast

from amssim._text import shown
from amssim.cli.streams import Steadfast

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import Any, TextIO

    import rich.console

    from amssim.cli.tables import TextTable

#: What `add_parser` of a verb adds its parser to.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")


def add_work(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that take a while."""
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: all CPUs)")
    add_progress(parser)


def add_progress(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--progress``."""
    parser.add_argument(
        "--progress",
        choices=["auto", "none"],
        default="auto",
        help="auto: a bar on standard error where that is a terminal (%(default)s)",
    )


def add_no_verify(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--no-verify``, which puts ``verify`` into the arguments."""
    parser.add_argument(
        "--no-verify",
        dest="verify",
        action="store_false",
        help="do not compare tensors with the checksums of their files",
    )


def add_links(parser: argparse.ArgumentParser) -> None:
    """Add the option of verbs that read a checkpoint of somebody else."""
    parser.add_argument(
        "--no-follow-symlinks",
        dest="follow_links",
        action="store_false",
        help="refuse a checkpoint, and files of it, that are symbolic links",
    )


def print_json(schema: str, value: dict[str, Any]) -> None:
    """Print one JSON object; ``schema`` names its form and the version of that."""
    import json

    print(json.dumps({"schema": schema} | value, indent=2, allow_nan=False))


class Console:
    """Standard output. Names out of files may stand in what is printed: see `shown`."""

    def print(self, *parts: str | TextTable) -> None:
        """Print text and tables, each on lines of its own."""
        from amssim.cli.tables import wrapped

        for part in parts:
            lines = "\n".join(map(shown, str(part).split("\n")))
            print(wrapped(lines) if isinstance(part, str) else lines)


def console() -> Console:
    """Return what text and tables are printed with."""
    return Console()


def table(*columns: str) -> TextTable:
    """Return a table: the first column is text, the others are aligned to the right."""
    from amssim.cli.tables import TextTable

    return TextTable(*columns)


@contextmanager
def progress_bar(mode: str, what: str) -> Iterator[Callable[[int, int, str], None] | None]:
    """Yield what `quantize_checkpoint` calls ``progress``, or None off a terminal."""
    if mode == "none" or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    columns = (f"{what}", BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=error_console(), transient=True) as bar:
        task = bar.add_task(what)
        yield lambda done, total, name: bar.update(task, completed=done, total=total)


def error_console() -> rich.console.Console:
    """Return rich's console on standard error, for what moves; if it breaks, the work goes on."""
    from rich.console import Console

    return Console(file=cast("TextIO", Steadfast(sys.stderr)), markup=False)
