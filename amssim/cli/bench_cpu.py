"""``amssim bench cpu``: codecs and packed products against numpy, ml_dtypes and BLAS."""

from __future__ import annotations

import argparse
import re
from typing import Any

from amssim.cli import terminal
from amssim.cli.terminal import Subparsers
from amssim.errors import InputError

_GIGA = "G weights/s"


def add_parser(subparsers: Subparsers) -> None:
    """Add the target."""
    parser = subparsers.add_parser(
        "cpu",
        help="codecs and products on the CPU",
        description="Time quantise, pack, unpack, dequantise, GEMV and GEMM for FP5.33 and FP4.25. "
        "Times are minima of at least 15 runs; weights are cold in memory; each number of threads "
        "is measured in a process of its own, next to its baselines. Takes some minutes.",
    )
    parser.add_argument(
        "--threads", default="1,2", help="numbers of threads, with commas (%(default)s)"
    )
    parser.add_argument(
        "--shapes", default="4096x4096,4096x14336", help="rows x columns (%(default)s)"
    )
    terminal.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print a table, or the record."""
    from amssim.bench import benchmark_cpu

    console = terminal.error_console()
    threads = [n for (n,) in _numbers(args.threads, r"(\d+)", "--threads", "1,2")]
    shapes = [(m, k) for m, k in _numbers(args.shapes, r"(\d+)x(\d+)", "--shapes", "4096x4096")]
    with console.status("measuring") as status:
        record = benchmark_cpu(
            threads, shapes, progress=lambda at: status.update(f"measuring {at}")
        )
    if args.json:
        terminal.print_json("amssim.bench.cpu/1", record)
    else:
        _print_tables(record)
    return 0


def _numbers(text: str, pattern: str, option: str, example: str) -> list[tuple[int, ...]]:
    matches = [re.fullmatch(pattern, part.strip()) for part in text.split(",")]
    numbers = [tuple(map(int, match.groups())) for match in matches if match]
    if len(numbers) != len(matches) or any(n < 1 for part in numbers for n in part):
        raise InputError(f"{option} is {text!r}, expected positive numbers such as {example}")
    return numbers


def _print_tables(record: dict[str, Any]) -> None:
    console = terminal.console()
    runs: dict[tuple[int, tuple[int, ...]], list[dict[str, Any]]] = {}
    for result in record["results"]:
        runs.setdefault((result["threads"], tuple(result["shape"])), []).append(result)
    for (threads, (rows, columns)), results in runs.items():
        console.print(f"{rows}x{columns}, {threads} thread{'s' * (threads > 1)}")
        table = terminal.table("item", "scheme", _GIGA, "ratio", "to")
        for r in results:
            ratio = f"{r['ratio']:.2f}x" if "ratio" in r else ""
            rate = f"{r['gweights_per_s']:.2f}"
            table.add_row(r["item"], r["scheme"] or "", rate, ratio, r.get("baseline", ""))
        console.print(table)
    machine = record["machine"]
    console.print(f"{machine['processor']}, {machine['cpus']} CPUs")
    console.print(f"import amssim: {record['import_s']:.3f} s")
