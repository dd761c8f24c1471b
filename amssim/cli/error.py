"""``amssim error``: what sharing a bit costs on given weights."""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from amssim.cli import output_file, terminal
from amssim.cli.terminal import Subparsers
from amssim.errors import InputError
from amssim.rules import SCALE_RULES, SEARCH_RULES

if TYPE_CHECKING:
    from amssim.quality.layers.inputs import Inputs
    from amssim.quality.layers.layer import Layers
    from amssim.quality.record import QualityRecord
    from amssim.quality.sharing.options import SharingOptions

_DESCRIPTION = """\
Restore weights under every choice of sharing and report the error. Without a
choice the whole study runs: k, element, search rule, axis, order, scales."""
_EXAMPLES = """\
examples:
  amssim error
  amssim error model/ --output study.csv --plot study.svg
  amssim error model/ --tokens heldout.npy --scheme fp4.25 --weighted
  amssim error layer.npy --activations x.npy --scheme fp4.25 --scheme fp5.33
  amssim error --density t5 --scheme fp4.25 --scale-block 256 --scale-block 64
  amssim error --density laplace --budget 4.25
"""
_SCHEMA = "amssim.error/1"
_MOST = 1e12


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "error",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "source", nargs="?", help="checkpoint, .safetensors or .npy; default: random weights"
    )
    drawn = parser.add_argument_group("random weights")
    drawn.add_argument(
        "--density", default="normal", help="normal, laplace, t5, gennorm:0.7 ... (%(default)s)"
    )
    drawn.add_argument("--weights", type=float, default=2**22, help="how many (%(default)s)")
    drawn.add_argument("--columns", type=int, default=4096, help="of a row (%(default)s)")
    drawn.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    chosen = parser.add_argument_group("choices, each of which may be repeated")
    chosen.add_argument("--scheme", action="append", help='see "amssim schemes"')
    chosen.add_argument("--search", action="append", help=", ".join(SEARCH_RULES))
    chosen.add_argument("--scale", action="append", help=", ".join(SCALE_RULES))
    chosen.add_argument(
        "--scale-block", action="append", type=int, metavar="N", help="columns per scale"
    )
    chosen.add_argument("--share-axis", action="append", metavar="AXIS", help="input, output")
    chosen.add_argument("--order", action="append", help="stored, columns, magnitude")
    inputs = parser.add_argument_group("inputs of the layers, for output error")
    inputs.add_argument(
        "--activations",
        metavar="FILE",
        help=".npy of inputs, float [samples, columns], or .safetensors of such by layer",
    )
    inputs.add_argument(
        "--tokens", metavar="FILE", help="token ids: run SOURCE, a language model, on them"
    )
    inputs.add_argument(
        "--weighted", action="store_true", help="the search weighs errors by the inputs"
    )
    parser.add_argument(
        "--budget", type=float, metavar="BITS", help="instead: the best formats of so many bits"
    )
    output_file.add_output(parser)
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw the costs of k, search and scales: f.svg is f_cost_of_k.svg ...",
    )
    terminal.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the study, print its tables or JSON and write what was asked for."""
    output_file.check_new(args.output)
    if args.budget is not None:
        from amssim.cli import error_budget

        return error_budget.run_budget(args)
    if args.plot:
        from amssim.cli import error_plots

        error_plots.check_plots(args.plot)
    records = _records(args)
    source = args.density if args.source is None else args.source
    answer = {"source": source, "records": records}
    output_file.write_records(args.output, _SCHEMA, answer, records)
    if args.plot:
        error_plots.draw_plots(args.plot, records)
    if args.json:
        terminal.print_json(_SCHEMA, answer)
    else:
        _print(source, records, whole=not _tried(args))
    return 0


def _records(args: argparse.Namespace) -> list[QualityRecord]:
    from amssim.quality.layers.sources import with_progress
    from amssim.quality.sharing.study import default_study, sharing_study

    inputs = _inputs(args)
    tried = _tried(args) or default_study(weighted=inputs is not None)
    layers, total = _layers(args)
    with terminal.progress_bar("auto", "measuring") as progress:
        layers = with_progress(layers, total, progress)
        return sharing_study(inputs.beside(layers) if inputs else layers, tried)


def _inputs(args: argparse.Namespace) -> Inputs | None:
    """What is known of the inputs, or None."""
    if not (args.activations or args.tokens):
        return None
    from amssim.quality.layers.inputs import Inputs

    if args.activations and args.tokens:
        raise InputError("--activations and --tokens both tell the inputs: leave one out")
    if args.activations:
        return Inputs.of_file(args.activations)
    if args.source is None:
        raise InputError("--tokens needs a language model to run on them: name its directory")
    return Inputs.of_model(args.source, args.tokens)


def _layers(args: argparse.Namespace) -> tuple[Layers, int]:
    """The stream of weights, and how many they are."""
    from amssim.quality.layers import sources
    from amssim.quality.theory.density import density

    if args.source is not None:
        return sources.from_file(args.source), sources.weight_count(args.source)
    for name, least in (("weights", 1), ("columns", 1), ("seed", 0)):
        if not least <= getattr(args, name) <= _MOST:
            raise InputError(f"--{name} is {getattr(args, name):g}, expected {least} to {_MOST:g}")
    count = int(args.weights)
    weights = density(args.density)
    return sources.from_density(weights, count, columns=args.columns, seed=args.seed), count


def _tried(args: argparse.Namespace) -> list[SharingOptions]:
    """Every combination of the options given, or nothing where none is."""
    from amssim.quality.sharing.options import SharingOptions
    from amssim.scheme import PUBLISHED

    names = ("search", "scale", "scale_block", "share_axis", "order")
    given = {name: getattr(args, name) for name in names if getattr(args, name)}
    if not given and not args.scheme and not args.weighted:
        return []
    schemes = args.scheme or [s.name for s in PUBLISHED]
    tried = [
        SharingOptions(name, **dict(zip(given, values, strict=True)), weighted=args.weighted)
        for name, *values in product(schemes, *given.values())
    ]
    return list(dict.fromkeys(tried))


def _print(source: str, records: list[QualityRecord], *, whole: bool) -> None:
    from amssim.cli import error_tables
    from amssim.quality.sharing.summary import summarize

    console = terminal.console()
    console.print(f"{source}: {records[0]['count']:,} weights\n")
    if not whole:
        console.print(error_tables.flat_table(records))
        return
    console.print("\n".join(f"{cost},\n  {gain}" for cost, gain in summarize(records)))
    for question, table in error_tables.study_tables(records):
        console.print(f"\n{question}")
        console.print(table)
