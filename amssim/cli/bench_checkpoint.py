"""``amssim bench checkpoint``: verbs on a large checkpoint as whole processes, beside ``cp``."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amssim._units import size
from amssim.cli import output_file, terminal
from amssim.cli.terminal import Subparsers
from amssim.errors import InputError

SCHEMA = "amssim.bench.checkpoint/1"
_DESCRIPTION = """\
Make a checkpoint of random BF16 weights and time what handles it: quantize,
verify and dequantize as whole processes, beside cp of the same bytes, with its
files in the page cache and not in it; and what verbs take to start. Needs room
for three times the checkpoint, in a temporary folder that is removed."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the target."""
    parser = subparsers.add_parser(
        "checkpoint",
        help="quantising, verifying, restoring a checkpoint",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--directory", metavar="DIR", type=Path, help="where to work (the system's temporary one)"
    )
    parser.add_argument(
        "--size", metavar="GB", type=float, default=0.8, help="of the checkpoint (%(default)s)"
    )
    for name, default, text in (("shards", 4, "number of shards"), ("runs", 5, "runs that count")):
        parser.add_argument(
            f"--{name}", type=int, metavar="N", default=default, help=f"{text} (%(default)s)"
        )
    parser.add_argument("--warm", action="store_true", help="only with files in the page cache")
    parser.add_argument(
        "--against", type=Path, metavar="DIR", help="time another amssim in turn, which lies in DIR"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="passed on (default: all CPUs)")
    parser.add_argument(
        "--continued", action="store_true", help="also time going on after a run was killed"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="also time jobs that N processes do"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the record as JSON")
    terminal.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print tables or the record, and write the record if asked to."""
    for option, value in (("--size", args.size), ("--shards", args.shards), ("--runs", args.runs)):
        if not value > 0:
            raise InputError(f"{option} is {value}, expected more than 0")
    output_file.check_new(args.output)
    record = {"command": _command(args)} | _measured(args)
    output_file.write_record(args.output, SCHEMA, record)
    if args.json:
        terminal.print_json(SCHEMA, record)
    else:
        _print(record)
    return 0


def _measured(args: argparse.Namespace) -> dict[str, Any]:
    from amssim.bench import SyntheticModel, benchmark_checkpoint

    with terminal.error_console().status("measuring") as status:
        return benchmark_checkpoint(
            args.directory or Path(tempfile.gettempdir()),
            SyntheticModel.near(args.size * 1e9),
            shards=args.shards,
            runs=args.runs,
            cold=not args.warm,
            against=args.against,
            options=_passed_on(args),
            continued=args.continued,
            workers=args.workers,
            progress=lambda at: status.update(f"measuring, {at}"),
        )


def _passed_on(args: argparse.Namespace) -> list[str]:
    return [] if args.threads is None else ["--threads", str(args.threads)]


def _command(args: argparse.Namespace) -> str:
    """The command line, without folders, which are others elsewhere."""
    words = ["amssim", "bench", "checkpoint"]
    for name in ("size", "shards", "runs", "threads", "workers"):
        value = getattr(args, name)
        words += [] if value is None else [f"--{name}", str(value)]
    words += [f"--{name}" for name in ("warm", "continued") if getattr(args, name)]
    return " ".join([*words, *(["--against", "DIR"] if args.against else [])])


def _print(record: dict[str, Any]) -> None:
    console = terminal.console()
    other = any("of_other" in result for result in record["results"])
    for checkpoint, columns in (("model", _WORK), ("tiny", _START)):
        shown = [heading for heading in columns if other or heading != _OTHER]
        table = terminal.table(*shown)
        for result in record["results"]:
            if result["checkpoint"] == checkpoint and result["tree"] != "other":
                table.add_row(*(_CELLS[heading](result) for heading in shown))
        console.print(table)
    console.print(_about(record))


def _about(record: dict[str, Any]) -> str:
    machine, about = record["machine"], record["checkpoint"]
    files = f"{size(about['bytes'])} in {about['shards']} files"
    return f"{files}; {machine['processor']}, {machine['cpus']} CPUs"


def _number(name: str, unit: float = 1, digits: int = 2) -> Callable[[dict[str, Any]], str]:
    """Show a number of a result, nothing where it has none."""

    def cell(result: dict[str, Any]) -> str:
        value = result.get(name)
        return "" if value is None else f"{value / unit:.{digits}f}"

    return cell


_OTHER = "x other"
_CELLS: dict[str, Callable[[dict[str, Any]], str]] = {
    "item": lambda result: str(result["item"]),
    "cache": lambda result: str(result["cache"]),
    "least s": _number("least_s", digits=3),
    "median": _number("median_s", digits=3),
    "CPU s": _number("cpu_s"),
    "GB/s": _number("gbytes_per_s"),
    "x cp": _number("of_copy", digits=1),
    "MB": _number("memory_bytes", 1e6, 0),
    "stated": _number("stated_memory_bytes", 1e6, 0),
    _OTHER: _number("of_other"),
}
_WORK = tuple(heading for heading in _CELLS if heading != "CPU s")
_START = ("item", "least s", "median", "CPU s", _OTHER)
