"""``amssim error``: what sharing a bit costs on given weights."""

from __future__ import annotations

import argparse
import csv
import json
from itertools import product
from pathlib import Path

from amssim.errors import InputError, OutputError

_COLUMNS = {
    "scheme": "scheme",
    "search": "search",
    "scale": "scale",
    "scale_block": "block",
    "share_axis": "axis",
    "order": "order",
    "effective_bits": "bits",
    "sqnr_db": "SQNR dB",
    "output_sqnr_db": "output dB",
    "relative_frobenius": "rel. error",
    "cosine": "cosine",
    "max_error": "max",
    "p99_error": "p99",
}


def add_parser(subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "error",
        help="measure what sharing a bit costs",
        description="Restore weights under every choice of sharing and report the error. Without "
        "a choice the whole study runs: k, element, search rule, axis, order, scale.",
    )
    parser.add_argument(
        "source", nargs="?", help="checkpoint, .safetensors or .npy; default: random weights"
    )
    parser.add_argument(
        "--density", default="normal", help="random weights: normal, laplace, t5, gennorm:0.7"
    )
    parser.add_argument("--weights", type=float, default=2**22, help="how many random weights")
    parser.add_argument("--columns", type=int, default=4096, help="weights of a random row")
    parser.add_argument("--seed", type=int, default=0, help="of the random weights")
    parser.add_argument("--activations", help=".npy of inputs, float [samples, columns]")
    for name in ("scheme", "search", "scale", "share-axis", "order"):
        parser.add_argument(f"--{name}", action="append", help="repeat for several")
    parser.add_argument("--scale-block", action="append", type=int, help="columns per scale")
    parser.add_argument("--budget", type=float, help="instead: best formats for so many bits")
    parser.add_argument("--json", type=Path, help="write the records here")
    parser.add_argument("--csv", type=Path, help="write the records here")
    parser.add_argument("--plot", type=Path, help="write k, search and scale figures beside this")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the study, print its table and write what was asked for."""
    if args.budget is not None:
        return _budget(args)
    from amssim.error.sweep import default_choices, sweep
    from amssim.error.tally import Layer

    moments = _activations(args.activations) if args.activations else None
    choices = _choices(args) or default_choices(weighted=moments is not None)
    layers = (Layer(layer.name, layer.weights, moments) for layer in _layers(args))
    records = sweep(layers, choices)
    _print(records, args.source or args.density)
    if args.json:
        _write(args.json, json.dumps(records, indent=1) + "\n")
    if args.csv:
        _write_csv(args.csv, records)
    if args.plot:
        _plot(args.plot, records)
    return 0


def _layers(args):
    from amssim.error import sources
    from amssim.error.density import density

    if args.source:
        return sources.from_file(args.source)
    if args.weights < 1 or args.columns < 1:
        raise InputError(
            f"cannot draw {args.weights:g} weights in rows of {args.columns}: "
            "expected at least one of each"
        )
    return sources.from_density(density(args.density), int(args.weights), args.columns, args.seed)


def _choices(args) -> list:
    """Every combination of the options given, or nothing where none is."""
    from amssim import scheme
    from amssim.error.sharing import Choice

    given = [args.scheme, args.search, args.scale, args.scale_block, args.share_axis, args.order]
    if not any(given):
        return []
    defaults = (["fp5.33", "fp4.25"], ["adaptive"], ["absmax"], [None], ["input"], ["stored"])
    options = [values or default for values, default in zip(given, defaults, strict=True)]
    return [Choice(scheme(name), *rest) for name, *rest in product(*options)]


def _activations(path: str):
    import numpy as np

    from amssim.error.output import second_moments_of

    try:
        return second_moments_of(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as .npy activations: {error}") from None


def _budget(args) -> int:
    from rich.console import Console
    from rich.table import Table

    from amssim.error.density import density
    from amssim.error.optimum import best_schemes

    table = Table(title=f"best formats within {args.budget:g} bits, {args.density} weights")
    for heading in ("scheme", "payload bits", "best clip, sigma", "SQNR dB"):
        table.add_column(heading, justify="left" if heading == "scheme" else "right")
    for found in best_schemes(density(args.density), args.budget):
        bits = f"{float(found.scheme.bits):.3f}"
        table.add_row(found.scheme.name, bits, f"{found.clip:.2f}", f"{found.sqnr_db:.2f}")
    Console().print(table)
    return 0


def _print(records: list[dict], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{title}: {records[0]['count']:,} weights")
    shown = [name for name in _COLUMNS if any(r.get(name) is not None for r in records)]
    for name in shown:
        table.add_column(_COLUMNS[name], justify="right", no_wrap=True)
    for r in records:
        table.add_row(*(_cell(r.get(name)) for name in shown))
    Console().print(table)


def _cell(value) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _write_csv(path: Path, records: list[dict]) -> None:
    from io import StringIO

    text = StringIO()
    names = dict.fromkeys(name for r in records for name in r)
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    _write(path, text.getvalue())


def _plot(path: Path, records: list[dict]) -> None:
    from amssim.error.figures import sharing

    for name in ("cost_of_k", "cost_of_search", "cost_of_scales"):
        target = path.with_name(f"{path.stem}_{name}{path.suffix or '.svg'}")
        try:
            getattr(sharing, name)(records).savefig(target)
        except (OSError, ValueError) as error:
            raise OutputError(f"{target} cannot be written: {error}") from None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None
