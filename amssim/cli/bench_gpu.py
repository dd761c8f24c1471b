"""``amssim bench gpu``: packed products on this GPU against cuBLAS FP16."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from amssim.cli import output_file, terminal
from amssim.cli.terminal import Subparsers
from amssim.errors import InputError


def add_parser(subparsers: Subparsers) -> None:
    """Add the target."""
    parser = subparsers.add_parser(
        "gpu",
        help="products on the GPU against cuBLAS FP16",
        description="Time GEMV and small GEMM with FP5.33 and FP4.25 weights: cold weights in "
        "rotation, CUDA graphs, the best cuBLAS FP16 product of the same process as baseline, "
        "every result compared with float64 first. Needs PyTorch and takes some minutes.",
    )
    parser.add_argument("--shapes", help="rows x columns with commas (layers of Llama-3, Qwen3)")
    parser.add_argument("--batches", default="1,2,4,8,16,32,64", help="sizes (%(default)s)")
    runs = "measure all so often, the lowest time of each counts (%(default)s)"
    parser.add_argument("--runs", type=int, default=1, metavar="N", help=runs)
    parser.add_argument("--peers", action="store_true", help="time other libraries' kernels too")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the record as JSON")
    terminal.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print a table or the record, and write the record if asked to."""
    from amssim.bench.gpu.benchmark import SHAPES, benchmark_gpu
    from amssim.gpu import check_available

    shapes = SHAPES if args.shapes is None else _shapes(args.shapes)
    batches = numbers(args.batches, "--batches")
    if args.runs < 1:
        raise InputError(f"--runs is {args.runs}, expected 1 or more")
    output_file.check_new(args.output)
    check_available()
    record = benchmark_gpu(
        shapes,
        batches,
        runs=args.runs,
        peers=args.peers,
        command=shlex.join(["amssim", *sys.argv[1:]]),
        say=lambda line: print(line, file=sys.stderr),
    )
    if args.output:
        output_file.write_new(args.output, json.dumps(record, indent=1) + "\n")
    if args.json:
        terminal.print_json("amssim.bench.gpu/1", record)
    else:
        _print(record)
    return 0


def _print(record: dict[str, Any]) -> None:
    console = terminal.console()
    table = terminal.table("layer", "scheme", "batch", "us", "TB/s", "of copy", "x cuBLAS FP16")
    for r in record["results"]:
        tbps = r["bytes"] / r["us"] / 1e6
        share, ratio = tbps / record["copy_tbps"], r["cublas_us"] / r["us"]
        table.add_row(*_cells(r, r["scheme"]), f"{tbps:.2f}", f"{share:.0%}", f"{ratio:.2f}")
    for peer in record["peers"]:
        for r in peer["results"]:
            table.add_row(*_cells(r, peer["peer"]))
    console.print(table)
    console.print(
        f"{record['machine']['gpu']}, copy {record['copy_tbps']:.2f} TB/s, "
        f"host {record['host_us']:.1f} us per launch, "
        f"{record['driver_us']:.1f} of them in the driver"
    )


def _cells(result: dict[str, Any], scheme: str) -> tuple[str, str, str, str]:
    rows, columns = result["shape"]
    layer = f"{result['layer']} {rows}x{columns}"
    return layer, scheme, str(result["batch"]), f"{result['us']:.1f}"


def numbers(text: str, option: str) -> tuple[int, ...]:
    """Return the positive numbers of an option, which commas part; `InputError` for others."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise InputError(f"{option} is {text!r}, expected positive numbers such as 1,8,64")
    return found


def _shapes(text: str) -> dict[str, tuple[int, int]]:
    """Shapes by their own names, such as 8192x8192."""
    shapes = {}
    for part in text.split(","):
        sizes = numbers(part.strip().replace("x", ","), "--shapes")
        if len(sizes) != 2:
            raise InputError(f"--shapes has {part!r}, expected rows x columns such as 8192x8192")
        shapes[part.strip()] = (sizes[0], sizes[1])
    return shapes
