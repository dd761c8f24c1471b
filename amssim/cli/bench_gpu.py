"""``amssim bench gpu``: packed products on this GPU against cuBLAS FP16."""

from __future__ import annotations

import argparse
import copy
import json
import shlex
import sys
from pathlib import Path

from amssim.cli import terminal
from amssim.errors import InputError, OutputError

#: rows x columns of the layers of Llama-3 and Qwen3, q/k/v and gate/up fused, and a square
SHAPES = {
    "Llama-3 8B q/k/v": (6144, 4096),
    "Llama-3 8B o": (4096, 4096),
    "Llama-3 8B gate/up": (28672, 4096),
    "Llama-3 8B down": (4096, 14336),
    "Llama-3 70B q/k/v": (10240, 8192),
    "Llama-3 70B o": (8192, 8192),
    "Llama-3 70B gate/up": (57344, 8192),
    "Llama-3 70B down": (8192, 28672),
    "Qwen3 8B gate/up": (24576, 4096),
    "Qwen3 8B down": (4096, 12288),
    "Qwen3 32B q/k/v": (10240, 5120),
    "Qwen3 32B o": (5120, 8192),
    "Qwen3 32B gate/up": (51200, 5120),
    "Qwen3 32B down": (5120, 25600),
    "square": (16384, 16384),
}
BATCHES = (1, 2, 4, 8, 16, 32, 64)
FORMATS = ("fp5.33", "fp4.25")


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
    shapes = _shapes(args.shapes)
    batches = _numbers(args.batches, "--batches")
    if args.runs < 1:
        raise InputError(f"--runs is {args.runs}, expected 1 or more")
    if args.output and args.output.exists():
        raise OutputError(f"{args.output} exists already: name a new file")
    record = lowest([measure(shapes, batches, peers=args.peers) for _ in range(args.runs)])
    if args.output:
        args.output.write_text(json.dumps(record, indent=1) + "\n")
    if args.json:
        terminal.print_json("amssim.bench.gpu/1", record)
    else:
        _print(record)
    return 0


def measure(
    shapes: dict[str, tuple[int, int]], batches: tuple[int, ...], *, peers: bool = False
) -> dict:
    """Return {"command", "machine", "copy_tbps", "results", "peers"}; times in microseconds.

    Peers are what is installed of `amssim.bench.gpu_peers`, at those of its batches that are asked
    for.
    """
    from amssim.bench import gpu_products as on_gpu
    from amssim.scheme import scheme

    results = []
    for name, (rows, columns) in shapes.items():
        baseline = {b: on_gpu.cublas_us(rows, columns, b) for b in batches}
        for spec in FORMATS:
            layer = on_gpu.Layer(scheme(spec), rows, columns)
            common = {
                "layer": name,
                "shape": [rows, columns],
                "scheme": layer.copies[0].scheme.name,
            }
            common |= {"bytes": layer.nbytes, "dequantize_us": layer.dequantize_us()}
            for batch in batches:
                us, error = layer.product(batch)
                figures = {"batch": batch, "us": us, "cublas_us": baseline[batch], "error": error}
                results.append(common | figures)
                sys.stderr.write(f"{name} {spec} batch {batch}: {us:.1f} us, "
                                 f"{baseline[batch] / us:.2f}x\n")  # fmt: skip
            host, driver = layer.host_us()
            del layer
    return {
        "command": shlex.join(["amssim", *sys.argv[1:]]),
        "machine": on_gpu.machine(),
        "copy_tbps": on_gpu.copy_tbps(),
        "host_us": host,
        "driver_us": driver,
        "results": results,
        "peers": _peers(shapes, batches) if peers else [],
    }


def lowest(records: list[dict]) -> dict:
    """The first of several records of one machine, with the best figure of each in all of them.

    What a record says of a failure or lacks stays as it is in the first; an error is the largest.
    """
    first, *others = copy.deepcopy(records)
    if others:
        first["note"] = f"each time is the lowest of {len(records)} runs"
    for other in others:
        _lower(first, other, ("host_us", "driver_us"))
        first["copy_tbps"] = max(first["copy_tbps"], other["copy_tbps"])
        theirs = {p["peer"]: p["results"] for p in other["peers"]}
        pairs = [(first["results"], other["results"])]
        pairs += [(p["results"], theirs.get(p["peer"], [])) for p in first["peers"]]
        for ours, of_other in pairs:
            known = {_product(r): r for r in of_other}
            for r in ours:
                if again := known.get(_product(r)):
                    _lower(r, again, ("us", "cublas_us", "dequantize_us"))
                    r["error"] = max(r["error"], again["error"])
    return first


def _product(result: dict) -> tuple:
    return result["layer"], result.get("scheme"), result["batch"]


def _lower(mine: dict, theirs: dict, names: tuple[str, ...]) -> None:
    for name in names:
        if name in mine:
            mine[name] = min(mine[name], theirs[name])


def _peers(shapes: dict[str, tuple[int, int]], batches: tuple[int, ...]) -> list[dict]:
    from amssim.bench.gpu_peers import BATCHES, PEERS, measure

    wanted = tuple(b for b in batches if b in BATCHES)
    return [measure(p, shapes, wanted, lambda line: print(line, file=sys.stderr)) for p in PEERS]


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


def _shapes(text: str | None) -> dict[str, tuple[int, int]]:
    if text is None:
        return SHAPES
    found = {}
    for part in text.split(","):
        sizes = _numbers(part.strip().replace("x", ","), "--shapes")
        if len(sizes) != 2:
            raise InputError(f"--shapes has {part!r}, expected rows x columns such as 8192x8192")
        found[part.strip()] = sizes
    return found
