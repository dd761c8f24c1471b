"""``amssim finish``: what was made in parts is checked, sealed and published."""

from __future__ import annotations

import argparse

from amssim.cli.terminal import Subparsers, add_json, add_work, progress_bar

_DESCRIPTION = """\
Publish what "amssim quantize ... --part I/N" has made, once all parts are done;
says which are missing. The bytes are those of a run without parts."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "finish",
        help="publish a checkpoint that was made in parts",
        description=_DESCRIPTION,
        epilog="example: amssim finish model-fp4.25/",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("dst", metavar="DST", help="what the parts were given as DST")
    add_work(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Finish and print what was written."""
    from amssim.checkpoint import finish_checkpoint
    from amssim.cli.job_report import report

    with progress_bar(args.progress, "finishing") as progress:
        job = finish_checkpoint(args.dst, threads=args.threads, progress=progress)
    report(job, args)
    return 0
