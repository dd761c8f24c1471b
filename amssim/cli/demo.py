"""``amssim demo``: the main job on real weights that ship with the package."""

from __future__ import annotations

import argparse
from itertools import count
from pathlib import Path
from typing import Any

from amssim.cli import terminal
from amssim.cli.terminal import Subparsers
from amssim.errors import OutputError

FOLDER = "amssim-demo"
FIGURE = "error.png"


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "demo",
        description="Quantise three matrices of a trained language model to FP5.33 and FP4.25, "
        "write them, read them back, verify every bit, measure error and speed. Under a minute.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help=f"folder for the packed files and the figure (default: a new {FOLDER})",
    )
    terminal.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do the job, draw the figure, print the table or the record."""
    from amssim.bench.demo import WEIGHTS, run_demo
    from amssim.bench.demo_figure import draw_demo

    output = _folder(args.output)
    with terminal.error_console().status("starting") as status:
        record = run_demo(
            output,
            progress=lambda name: status.update(f"{name}: quantise, write, verify, measure"),
        )
        draw_demo(record, WEIGHTS, output / FIGURE)
    if args.json:
        terminal.print_json("amssim.demo/1", record)
    else:
        _print(record, output / FIGURE)
    return 0


def _folder(wanted: Path | None) -> Path:
    """Make the folder that was asked for, or else a new one here."""
    free = (Path(f"{FOLDER}-{n}" if n > 1 else FOLDER) for n in count(1))
    path = wanted or next(p for p in free if not p.exists())
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path}: {error.strerror}") from error
    return path


def _print(record: dict[str, Any], figure: Path) -> None:
    console = terminal.console()
    schemes = record["schemes"]
    columns = [_cells(figures, record["source"]["nbytes"]) for figures in schemes.values()]
    table = terminal.table("three matrices of a real model", *schemes)
    for label in columns[0]:
        table.add_row(label, *(cells[label] for cells in columns))
    console.print(table)
    console.print(
        "Every packed bit was read back and verified. Speed is that of a layer of "
        f"{record['layer'][0]}x{record['layer'][1]} weights, {record['machine']['cpus']} threads."
    )
    paths = [figures["path"] for figures in schemes.values()]
    console.print("Wrote " + ", ".join([*paths, str(figure)]))


def _cells(figures: dict[str, Any], source_bytes: int) -> dict[str, str]:
    """What is shown of one scheme, by label."""
    total = figures["total"]
    return {
        "effective bits per weight": f"{figures['effective_bits']:.3f}",
        "size, from BF16": f"{figures['nbytes'] / 1e6:.2f} MB of {source_bytes / 1e6:.2f}",
        "SQNR": f"{total['sqnr_db']:.2f} dB",
        "largest error": f"{total['max_error']:.4f}",
        "quantise, search and pack": f"{figures['quantize_gweights_per_s']:.2f} G weights/s",
        "packed matrix-vector product": f"{figures['gemv_s'] * 1e3:.2f} ms",
        "the same in float32 BLAS": f"{figures['blas_s'] * 1e3:.2f} ms",
        "speedup": f"{figures['gemv_speedup']:.2f}x",
    }
