"""``amssim eval``: perplexity and KL divergence of a language model in given formats."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from amssim.cli import output_file, terminal
from amssim.cli.terminal import Subparsers
from amssim.errors import InputError
from amssim.rules import SCALE_RULES, SEARCH_RULES

if TYPE_CHECKING:
    import numpy as np

    from amssim.lm.llama import Llama
    from amssim.quality.record import QualityRecord

_DESCRIPTION = """\
Quantise the linear layers of a Llama-architecture checkpoint and compare its
predictions with those of the checkpoint as it is."""
_EXAMPLES = """\
examples:
  amssim eval model/ --tokens heldout.npy
  amssim eval model/ --tokens heldout.npy --scheme nf4 --scheme int4-g32
  amssim eval model/ --tokens ids.txt --scheme gptq-joint-fp4.25 --weighted
"""
_SCHEMA = "amssim.eval/1"
_CALIBRATION_WINDOWS = 32
_COLUMNS = {
    "name": ("format", ""),
    "effective_bits": ("bits", ".3f"),
    "sqnr_db": ("SQNR dB", ".2f"),
    "output_sqnr_db": ("output dB", ".2f"),
    "perplexity": ("perplexity", ".4f"),
    "kl_mean": ("KL mean", ".5f"),
    "kl_p99": ("KL p99", ".4f"),
}


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "eval",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("checkpoint", help="directory with config.json and safetensors")
    parser.add_argument("--tokens", required=True, help=".npy or text file of token ids")
    parser.add_argument(
        "--scheme",
        action="append",
        help="AMS scheme, with gptq-, joint-, special-, gptq-joint- or gptq-special- before it "
        "for an extension of docs/ERROR.md, or comparison format of docs/FORMATS.md; repeat for "
        "several (fp5.33, fp4.25)",
    )
    ams = parser.add_argument_group("of AMS schemes")
    ams.add_argument("--search", choices=SEARCH_RULES, default="adaptive", help="(%(default)s)")
    ams.add_argument("--scale", choices=SCALE_RULES, default="absmax", help="(%(default)s)")
    ams.add_argument("--scale-block", type=int, metavar="N", help="columns per scale")
    text = parser.add_argument_group("text")
    text.add_argument("--full", action="store_true", help="every window, not a sample")
    text.add_argument(
        "--windows", type=int, default=128, metavar="N", help="windows of the sample (%(default)s)"
    )
    text.add_argument(
        "--length", type=int, default=512, metavar="N", help="tokens of a window (%(default)s)"
    )
    parser.add_argument(
        "--weighted",
        action="store_true",
        help="formats see the inputs, measured between the windows of the sample (text that "
        "--full scores too)",
    )
    parser.add_argument(
        "--calibrate",
        type=int,
        default=0,
        metavar="N",
        help=f"windows to measure inputs on, for output dB ({_CALIBRATION_WINDOWS} if weighted)",
    )
    parser.add_argument("--backend", default="numpy", help="numpy or torch (%(default)s)")
    terminal.add_no_verify(parser)
    output_file.add_output(parser)
    terminal.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate; print a table or JSON, and write the records if asked to."""
    output_file.check_new(args.output)
    records = _records(args)
    answer = {"checkpoint": args.checkpoint, "records": records}
    output_file.write_records(args.output, _SCHEMA, answer, records)
    if args.json:
        terminal.print_json(_SCHEMA, answer)
    else:
        _print(args.checkpoint, records)
    return 0


def _records(args: argparse.Namespace) -> list[QualityRecord]:
    from amssim.lm.backends import backend
    from amssim.lm.load import load_model
    from amssim.lm.windows import all_windows, read_tokens, spread_windows
    from amssim.quality.evaluation.evaluate import evaluate
    from amssim.quality.recipes.recipe import recipe
    from amssim.scheme import PUBLISHED

    for name, least in (("windows", 1), ("length", 1), ("calibrate", 0)):
        if getattr(args, name) < least:
            raise InputError(f"--{name} is {getattr(args, name)}, expected at least {least}")
    options = {"search": args.search, "scale": args.scale, "scale_block": args.scale_block}
    names = args.scheme or [s.name for s in PUBLISHED]
    recipes = [recipe(name, calibrated=args.weighted, **options) for name in names]
    model = load_model(args.checkpoint, backend(args.backend), verify=args.verify)
    tokens = read_tokens(args.tokens, model.config.vocab_size)
    spread = spread_windows(tokens, count=args.windows, length=args.length)
    windows = all_windows(tokens, length=args.length) if args.full else spread
    moments = _moments(model, tokens, args)
    with terminal.progress_bar("auto", "evaluating") as progress:
        return evaluate(model, recipes, windows, moments=moments, progress=progress)


def _moments(
    model: Llama, tokens: np.ndarray, args: argparse.Namespace
) -> dict[str, np.ndarray] | None:
    from amssim.lm.moments import second_moments
    from amssim.lm.windows import between_windows

    count = args.calibrate or _CALIBRATION_WINDOWS * args.weighted
    if not count:
        return None
    gaps = between_windows(tokens, count=args.windows, length=args.length)[:, :-1]
    return second_moments(model, gaps[:: max(1, len(gaps) // count)][:count])


def _print(checkpoint: str, records: list[QualityRecord]) -> None:
    console = terminal.console()
    console.print(
        f"{checkpoint}: {records[0]['tokens']:,} predicted tokens\n"
        "KL divergence from the model as stored, in nats per token\n",
    )
    shown = [name for name in _COLUMNS if any(name in r for r in records)]
    table = terminal.table(*(_COLUMNS[name][0] for name in shown))
    for r in records:
        table.add_row(*(_cell(r, name) for name in shown))
    console.print(table)


def _cell(record: QualityRecord, name: str) -> str:
    if name not in record:
        return ""
    value = record[name]
    return "inf" if value is None else f"{value:{_COLUMNS[name][1]}}"
