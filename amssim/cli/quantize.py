"""``amssim quantize``: a float checkpoint becomes a packed one."""

from __future__ import annotations

import argparse
from typing import Any

from amssim.cli.job_options import add_job, job_options
from amssim.cli.terminal import Subparsers, add_json, progress_bar
from amssim.rules import SCALE_RULES, SEARCH_RULES

_DESCRIPTION = """\
Quantise the linear layers of a checkpoint: one .safetensors file, or a
directory with an index and shards. Embeddings, output head, norms, biases and
routers are kept as they are unless a rule says otherwise. The output appears
whole or not at all; after an interrupt, the same command continues."""
_EXAMPLES = """\
examples:
  amssim quantize model/ model-fp4.25/ --scheme fp4.25
  amssim quantize model/ out/ --dry-run
  amssim quantize in/ out/ --rule down_proj=fp6-e2m3 --rule 'layers\\.0\\.=keep'
  amssim quantize model/ out/ --scheduler tcp://10.0.0.1:8786
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "quantize",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("src", metavar="SRC", help=".safetensors file or directory")
    parser.add_argument("dst", metavar="DST", help="file or directory to write, as SRC")
    parser.add_argument(
        "--scheme", default="fp5.33-e2m3", help='see "amssim schemes" (%(default)s)'
    )
    parser.add_argument("--search", choices=SEARCH_RULES, default="adaptive", help="(%(default)s)")
    parser.add_argument("--scale", choices=SCALE_RULES, default="absmax", help="(%(default)s)")
    parser.add_argument(
        "--scale-block", type=int, metavar="N", help="columns per scale (default: a whole row)"
    )
    parser.add_argument(
        "--rule",
        action="append",
        default=[],
        metavar="REGEX=SCHEME|keep",
        help="for tensors whose name contains a match; the first rule that matches decides",
    )
    parser.add_argument(
        "--on-nan",
        choices=["error", "keep"],
        default="error",
        help="keep: leave tensors with NaN or Inf as they are, after reading all weights to find "
        "them (%(default)s)",
    )
    parser.add_argument(
        "--no-card", action="store_true", help="write no amssim.md, a page on what DST is"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the plan, read headers only")
    add_job(parser)
    parser.add_argument(
        "--part",
        metavar="I/N",
        help='do the I-th of N parts; "amssim finish DST" publishes when all are done',
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Quantise, or plan it, and print what came of it."""
    from amssim.checkpoint import plan_quantize
    from amssim.cli.job_report import report

    options: dict[str, Any] = {
        "search": args.search,
        "scale": args.scale,
        "scale_block": args.scale_block,
        "rules": args.rule,
        "on_nan": args.on_nan,
        "card": not args.no_card,
        "follow_links": args.follow_links,
    }
    if args.dry_run:
        report(plan_quantize(args.src, args.scheme, threads=args.threads, **options), args)
        return 0
    from amssim.checkpoint import quantize_checkpoint

    options |= job_options(args) | {"part": args.part}
    with progress_bar(args.progress, "quantising") as progress:
        job = quantize_checkpoint(args.src, args.dst, args.scheme, progress=progress, **options)
    report(job, args)
    return 0
