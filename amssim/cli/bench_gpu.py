"""``amssim bench gpu``: packed products on this GPU against cuBLAS FP16."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from amssim.cli import terminal
from amssim.errors import InputError, OutputError


def add_parser(subparsers) -> None:
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
    from amssim.gpu import check_available

    check_available()
    from amssim.bench.gpu.benchmark import SHAPES, benchmark_gpu

    shapes = SHAPES if args.shapes is None else _shapes(args.shapes)
    batches = _numbers(args.batches, "--batches")
    if args.runs < 1:
        raise InputError(f"--runs is {args.runs}, expected 1 or more")
    if args.output and args.output.exists():
        raise OutputError(f"{args.output} exists already: name a new file")
    record = benchmark_gpu(
        shapes,
        batches,
        runs=args.runs,
        peers=args.peers,
        command=shlex.join(["amssim", *sys.argv[1:]]),
        say=lambda line: print(line, file=sys.stderr),
    )
    if args.output:
        args.output.write_text(json.dumps(record, indent=1) + "\n")
    if args.json:
        terminal.print_json("amssim.bench.gpu/1", record)
    else:
        _print(record)
    return 0


def _print(record: dict) -> None:
    console = terminal.console()
    table = terminal.table("layer", "scheme", "batch", "us", "TB/s", "of copy", "x cuBLAS FP16")
    for r in record["results"]:
        rows, columns = r["shape"]
        tbps = r["bytes"] / r["us"] / 1e6
        table.add_row(
            f"{r['layer']} {rows}x{columns}", r["scheme"], str(r["batch"]), f"{r['us']:.1f}",
            f"{tbps:.2f}", f"{tbps / record['copy_tbps']:.0%}", f"{r['cublas_us'] / r['us']:.2f}",
        )  # fmt: skip
    for peer in record["peers"]:
        for r in peer["results"]:
            rows, columns = r["shape"]
            name = f"{r['layer']} {rows}x{columns}"
            table.add_row(name, peer["peer"], str(r["batch"]), f"{r['us']:.1f}")
    console.print(table)
    console.print(f"{record['machine']['gpu']}, copy {record['copy_tbps']:.2f} TB/s, "
                  f"host {record['host_us']:.1f} us per launch, "
                  f"{record['driver_us']:.1f} of them in the driver")  # fmt: skip


def _numbers(text: str, option: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise InputError(f"{option} is {text!r}, expected positive numbers such as 1,8,64")
    return found


def _shapes(text: str) -> dict[str, tuple[int, int]]:
    found = {}
    for part in text.split(","):
        sizes = _numbers(part.strip().replace("x", ","), "--shapes")
        if len(sizes) != 2:
            raise InputError(f"--shapes has {part!r}, expected rows x columns such as 8192x8192")
        found[part.strip()] = sizes
    return found
