"""``amssim error``: what sharing a bit costs on given weights."""

from __future__ import annotations

import argparse
import csv
import json
from io import StringIO
from itertools import product
from pathlib import Path

from amssim.cli import output_file, terminal
from amssim.errors import InputError, OutputError
from amssim.rules import SCALE_RULES, SEARCH_RULES

_DESCRIPTION = """\
Restore weights under every choice of sharing and report the error. Without a
choice the whole study runs: k, element, search rule, axis, order, scales."""
_EXAMPLES = """\
examples:
  amssim error
  amssim error model/ --output study.csv
  amssim error layer.npy --activations x.npy --scheme fp4.25 --scheme fp5.33
  amssim error --density t5 --scheme fp4.25 --scale-block 256 --scale-block 64
  amssim error --density laplace --budget 4.25
"""
_MOST = 1e12


def add_parser(subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "error",
        help="measure what sharing a bit costs",
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
    parser.add_argument(
        "--activations", metavar="FILE", help=".npy of inputs, float [samples, columns]"
    )
    parser.add_argument(
        "--weighted", action="store_true", help="the search weighs errors by the activations"
    )
    parser.add_argument(
        "--budget", type=float, metavar="BITS", help="instead: the best formats of so many bits"
    )
    output_file.add_output(parser, "write the records: CSV if FILE ends in .csv, else JSON")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="FILE_cost_of_k.svg and two more figures"
    )
    terminal.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the study, print its tables or JSON and write what was asked for."""
    output_file.check_new(args.output)
    if args.plot and not args.plot.parent.is_dir():
        raise OutputError(f"{args.plot} cannot be written: no directory {args.plot.parent}")
    if args.budget is not None:
        from amssim.cli import error_budget

        return error_budget.run(args)
    records = _records(args)
    found = {"source": args.source or args.density, "records": records}
    if args.output:
        output_file.write_new(args.output, _text(args.output, found))
    if args.plot:
        _plot(args.plot, records)
    if args.json:
        terminal.print_json("amssim.error/1", found)
    else:
        _print(**found, whole=not _choices(args))
    return 0


def _records(args: argparse.Namespace) -> list[dict]:
    from amssim.error.sources import watched
    from amssim.error.sweep import default_choices, sweep
    from amssim.error.tally import Layer

    moments = _activations(args.activations)
    choices = _choices(args) or default_choices(weighted=moments is not None)
    layers, total = _layers(args)
    with terminal.progress_bar("auto", "measuring") as progress:
        layers = watched(layers, total, progress)
        return sweep((Layer(layer.name, layer.weights, moments) for layer in layers), choices)


def _layers(args: argparse.Namespace):
    """The stream of weights, and how many they are."""
    from amssim.error import sources
    from amssim.error.density import density

    if args.source:
        return sources.from_file(args.source), sources.weight_count(args.source)
    if not (1 <= args.weights <= _MOST and 1 <= args.columns <= _MOST and args.seed >= 0):
        raise InputError(
            f"cannot draw {args.weights:g} weights in rows of {args.columns} from seed "
            f"{args.seed}: expected at least one of each and a seed from 0"
        )
    count = int(args.weights)
    return sources.from_density(density(args.density), count, args.columns, args.seed), count


def _choices(args: argparse.Namespace) -> list:
    """Every combination of the options given, or nothing where none is."""
    from amssim import scheme
    from amssim.error.sharing import Choice

    given = [args.scheme, args.search, args.scale, args.scale_block, args.share_axis, args.order]
    if not any(given) and not args.weighted:
        return []
    defaults = (["fp5.33", "fp4.25"], ["adaptive"], ["absmax"], [None], ["input"], ["stored"])
    options = [values or default for values, default in zip(given, defaults, strict=True)]
    found = [Choice(scheme(name), *rest, args.weighted) for name, *rest in product(*options)]
    return list(dict.fromkeys(found))


def _activations(path: str | None):
    from amssim.error.output import second_moments_of
    from amssim.error.sources import load_npy

    return None if path is None else second_moments_of(load_npy(path, "activations"))


def _print(source: str, records: list[dict], whole: bool) -> None:
    from amssim.cli import error_tables

    console = terminal.console()
    console.print(f"{source}: {records[0]['count']:,} weights\n", soft_wrap=True)
    if not whole:
        console.print(error_tables.flat_table(records))
        return
    console.print("\n".join(error_tables.gist(records)))
    for question, table in error_tables.study_tables(records):
        console.print(f"\n{question}")
        console.print(table)


def _text(path: Path, found: dict) -> str:
    """The records as JSON or, for a name in .csv, as CSV."""
    if path.suffix != ".csv":
        return json.dumps({"schema": "amssim.error/1"} | found, indent=1) + "\n"
    text = StringIO()
    names = dict.fromkeys(name for r in found["records"] for name in r)
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found["records"])
    return text.getvalue()


def _plot(path: Path, records: list[dict]) -> None:
    from amssim.error.figures import sharing

    for name in ("cost_of_k", "cost_of_search", "cost_of_scales"):
        target = path.with_name(f"{path.stem}_{name}{path.suffix or '.svg'}")
        try:
            getattr(sharing, name)(records).savefig(target)
        except (OSError, ValueError) as error:
            raise OutputError(f"{target} cannot be written: {error}") from None
