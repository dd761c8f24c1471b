"""``amssim eval``: perplexity and KL divergence of a language model in given formats."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from amssim.errors import OutputError

_COLUMNS = {
    "name": "format",
    "effective_bits": "bits",
    "sqnr_db": "SQNR dB",
    "output_sqnr_db": "output dB",
    "perplexity": "perplexity",
    "kl_mean": "KL mean",
    "kl_p99": "KL p99",
}


def add_parser(subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "eval",
        help="perplexity and KL divergence of a language model in given formats",
        description="Quantise the linear layers of a Llama-architecture checkpoint and compare "
        "its predictions with those of the checkpoint as it is.",
    )
    parser.add_argument("checkpoint", help="directory with config.json and safetensors")
    parser.add_argument("--tokens", required=True, help=".npy or text file of token ids")
    parser.add_argument(
        "--scheme", action="append", help="AMS scheme or comparison format; repeat for several"
    )
    parser.add_argument("--search", default="adaptive", help="search rule of AMS schemes")
    parser.add_argument("--scale", default="absmax", help="scale rule of AMS schemes")
    parser.add_argument("--scale-block", type=int, help="columns per scale of AMS schemes")
    parser.add_argument("--weighted", action="store_true", help="search weighs errors by inputs")
    parser.add_argument("--full", action="store_true", help="every window, not a sample of 128")
    parser.add_argument("--windows", type=int, default=128, help="windows of the sample")
    parser.add_argument("--length", type=int, default=512, help="tokens that a window predicts")
    parser.add_argument("--calibrate", type=int, default=0, metavar="N",
                        help="measure inputs on N windows between the scored ones")  # fmt: skip
    parser.add_argument("--backend", default="numpy", help="numpy or torch")
    parser.add_argument("--json", type=Path, help="write the records here")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print a table, write the records if asked to."""
    from rich.console import Console

    from amssim.error.evaluation import evaluate
    from amssim.error.lm.backend import backend
    from amssim.error.lm.load import load_model
    from amssim.error.lm.windows import all_windows, read_tokens, spread_windows
    from amssim.error.recipe import recipe

    options = {"search": args.search, "scale": args.scale, "scale_block": args.scale_block}
    options["weighted"] = args.weighted
    recipes = [recipe(name, **options) for name in args.scheme or ["fp5.33", "fp4.25"]]
    model = load_model(args.checkpoint, backend(args.backend))
    tokens = read_tokens(args.tokens, model.config.vocab_size)
    windows = (
        all_windows(tokens, args.length)
        if args.full
        else spread_windows(tokens, args.windows, args.length)
    )
    moments = _moments(model, tokens, args)
    with Console(stderr=True).status("evaluating") as status:
        records = evaluate(model, recipes, windows, moments, status.update)
    _print(records, args.checkpoint)
    if args.json:
        _write(args.json, records)
    return 0


def _moments(model, tokens, args):
    from amssim.error.lm.calibrate import second_moments
    from amssim.error.lm.windows import between_windows

    count = args.calibrate or (32 if args.weighted else 0)
    if not count:
        return None
    gaps = between_windows(tokens, args.windows, args.length)[:, :-1]
    return second_moments(model, gaps[:: max(1, len(gaps) // count)][:count])


def _print(records: list[dict], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{title}: {records[0]['tokens']:,} predicted tokens")
    shown = [name for name in _COLUMNS if any(r.get(name) is not None for r in records)]
    for name in shown:
        table.add_column(_COLUMNS[name], justify="left" if name == "name" else "right")
    for r in records:
        table.add_row(*(_cell(name, r.get(name)) for name in shown))
    Console().print(table)


def _cell(name: str, value) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if name in ("perplexity", "kl_mean", "kl_p99") else f"{value:.2f}"
    return "" if value is None else str(value)


def _write(path: Path, records: list[dict]) -> None:
    try:
        path.write_text(json.dumps(records, indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None
