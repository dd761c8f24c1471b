"""``amssim report``: one HTML page about the error of a checkpoint's own weights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from amssim.cli import output_file, terminal
from amssim.cli.terminal import Subparsers
from amssim.errors import InputError

if TYPE_CHECKING:
    from amssim.progress import Progress
    from amssim.quality.layers.layer import Layers
    from amssim.quality.recipes.recipe import Recipe
    from amssim.quality.record import QualityRecord
    from amssim.quality.report.page import Page

_SCHEMES = ("fp6-e2m3", "fp5.33", "fp5-e2m2", "fp4.5", "fp4.25", "fp4-e2m1")
_OTHERS = ("int4-g64", "int5-g48", "nf4-g64", "nf5-g48", "mxfp4", "mxfp6-e2m3", "nvfp4", "razer")
_DEFAULT_MOST = 32e6


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "report",
        description="Run the sharing study and the comparison of formats on the linear layers of "
        "a checkpoint, and with --tokens its perplexity in each AMS format.",
    )
    parser.add_argument("checkpoint", help="directory or .safetensors file")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", default=Path("report.html"),
        help="a new file (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--tokens", help=".npy or text file of token ids, for perplexity")
    parser.add_argument("--windows", type=int, default=128, help="windows of 512 tokens")
    parser.add_argument("--weights", type=float, default=_DEFAULT_MOST,
                        help="measure about so many weights, rows from every layer")  # fmt: skip
    terminal.add_no_verify(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    for name in ("weights", "windows"):
        if not getattr(args, name) >= 1:
            raise InputError(f"--{name} must be at least 1, found {getattr(args, name):g}")
    output_file.check_new(args.output)
    output_file.write_new(args.output, _page(args).html())
    terminal.console().print(f"wrote {args.output}")
    return 0


def _page(args: argparse.Namespace) -> Page:
    from amssim.checkpoint import linear_sizes
    from amssim.quality.layers.sources import from_file, with_progress
    from amssim.quality.recipes.recipe import recipe
    from amssim.quality.report import contents
    from amssim.quality.report.page import Page

    sizes = linear_sizes(args.checkpoint)
    count = sum(sizes.values())
    page = Page(f"Quantisation error of {Path(args.checkpoint).resolve().name}")
    page.text(f"{len(sizes)} linear layers with {count:,} weights.")
    if count > args.weights:
        page.text(f"Measured on about {args.weights:,.0f} weights in rows from each.", note=True)
    ams = [recipe(name) for name in _SCHEMES]

    def layers(progress: Progress | None) -> Layers:
        read = with_progress(from_file(args.checkpoint, verify=args.verify), count, progress)
        return contents.sampled(read, count, int(min(args.weights, count)))

    scored = _perplexities(args, ams) if args.tokens else None
    with terminal.progress_bar("auto", "formats") as progress:
        contents.add_formats(page, layers(progress), [*ams, *_others()])
    with terminal.progress_bar("auto", "sharing") as progress:
        contents.add_sharing(page, layers(progress))
    if scored:
        contents.add_perplexity(page, scored)
    return page


def _others() -> list[Recipe]:
    """Comparison formats of the same widths that need no calibration."""
    from amssim.quality.recipes.recipe import recipe

    return [recipe(name) for name in _OTHERS]


def _perplexities(args: argparse.Namespace, recipes: list[Recipe]) -> list[QualityRecord]:
    from amssim.lm.load import load_model
    from amssim.lm.windows import read_tokens, spread_windows
    from amssim.quality.evaluation.evaluate import evaluate

    model = load_model(args.checkpoint, verify=args.verify)
    tokens = read_tokens(args.tokens, model.config.vocab_size)
    windows = spread_windows(tokens, count=args.windows)
    with terminal.progress_bar("auto", "language model") as progress:
        return evaluate(model, recipes, windows, progress=progress)
