"""``amssim report``: one HTML page about the error of a checkpoint's own weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from amssim.errors import InputError, OutputError

_SCHEMES = ("fp6-e2m3", "fp5.33", "fp5-e2m2", "fp4.5", "fp4.25", "fp4-e2m1")
_OTHERS = ("int4-g64", "int5-g48", "nf4-g64", "nf5-g48", "mxfp4", "mxfp6-e2m3", "nvfp4", "razer")
_DEFAULT_MOST = 32e6


def add_parser(subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "report",
        help="write an HTML page about the error of a checkpoint's weights",
        description="Run the sharing study and the comparison of formats on the linear layers of "
        "a checkpoint, and with --tokens its perplexity in each AMS format.",
    )
    parser.add_argument("checkpoint", help="directory or .safetensors file")
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"))
    parser.add_argument("--tokens", help=".npy or text file of token ids, for perplexity")
    parser.add_argument("--windows", type=int, default=128, help="windows of 512 tokens")
    parser.add_argument("--weights", type=float, default=_DEFAULT_MOST,
                        help="measure about so many weights, rows from every layer")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    from rich.console import Console

    if args.weights < 1:
        raise InputError(f"--weights must be at least 1, found {args.weights:g}")
    with Console(stderr=True).status("reading") as status:
        page = _page(args, status.update)
    try:
        args.output.write_text(page.html())
    except OSError as error:
        raise OutputError(f"{args.output} cannot be written: {error.strerror}") from None
    Console().print(f"wrote {args.output}", highlight=False)
    return 0


def _page(args: argparse.Namespace, progress):
    from amssim.error.recipe import recipe
    from amssim.error.report import contents
    from amssim.error.report.page import Page
    from amssim.error.sources import from_file
    from amssim.error.tensors import Tensors

    sizes = Tensors(args.checkpoint).linear_sizes()
    count = sum(sizes.values())
    page = Page(f"Quantisation error of {Path(args.checkpoint).resolve().name}")
    page.text(f"{len(sizes)} linear layers with {count:,} weights.")
    if count > args.weights:
        page.text(f"Measured on about {args.weights:,.0f} weights in rows from each.", note=True)
    ams = [recipe(name) for name in _SCHEMES]

    def layers():
        return contents.sampled(from_file(args.checkpoint), count, int(args.weights))

    contents.add_formats(page, layers(), [*ams, *_others()], progress)
    contents.add_sharing(page, layers(), progress)
    if args.tokens:
        contents.add_perplexity(page, _perplexities(args, ams, progress))
    return page


def _others() -> list:
    """Comparison formats of the same widths that need no calibration."""
    from amssim.error.recipe import recipe

    return [recipe(name) for name in _OTHERS]


def _perplexities(args: argparse.Namespace, recipes: list, progress) -> list[dict]:
    from amssim.error.evaluation import evaluate
    from amssim.error.lm.load import load_model
    from amssim.error.lm.windows import read_tokens, spread_windows

    model = load_model(args.checkpoint)
    tokens = read_tokens(args.tokens, model.config.vocab_size)
    return evaluate(model, recipes, spread_windows(tokens, args.windows), progress=progress)
