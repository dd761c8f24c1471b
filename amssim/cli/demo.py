"""``amssim demo``: the main job on real weights that ship with the package."""

from __future__ import annotations

import argparse
from itertools import count
from pathlib import Path

from amssim.cli import terminal
from amssim.errors import OutputError

FOLDER = "amssim-demo"
FIGURE = "error.png"


def add_parser(subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "demo",
        help="quantise real weights, verify them, show error, size and speed",
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
    from rich.console import Console

    from amssim.bench.demo import WEIGHTS, run_demo
    from amssim.bench.demo_figure import draw_demo

    output = _folder(args.output)
    with Console(stderr=True).status("starting") as status:
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


def _print(record: dict, figure: Path) -> None:
    console = terminal.console()
    names = list(record["schemes"])
    table = terminal.table("three matrices of a real model", *names)
    for label, show in _ROWS:
        table.add_row(label, *(show(record, record["schemes"][n]) for n in names))
    console.print(table)
    console.print(
        "Every packed bit was read back and verified. Speed is that of a layer of "
        f"{record['layer'][0]}x{record['layer'][1]} weights, {record['machine']['cpus']} threads."
    )
    paths = [figures["path"] for figures in record["schemes"].values()]
    console.print("Wrote " + ", ".join([*paths, str(figure)]))


_ROWS = (
    ("effective bits per weight", lambda r, s: f"{s['effective_bits']:.3f}"),
    (
        "size, from BF16",
        lambda r, s: f"{s['nbytes'] / 1e6:.2f} MB of {r['source']['nbytes'] / 1e6:.2f}",
    ),
    ("SQNR", lambda r, s: f"{s['total']['sqnr_db']:.2f} dB"),
    ("largest error", lambda r, s: f"{s['total']['max_error']:.4f}"),
    ("quantise, search and pack", lambda r, s: f"{s['quantize_gweights_per_s']:.2f} G weights/s"),
    ("packed matrix-vector product", lambda r, s: f"{s['gemv_s'] * 1e3:.2f} ms"),
    ("the same in float32 BLAS", lambda r, s: f"{s['blas_s'] * 1e3:.2f} ms"),
    ("speedup", lambda r, s: f"{s['gemv_speedup']:.2f}x"),
)
