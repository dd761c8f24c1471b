"""``amssim dequantize``: a packed checkpoint becomes plain safetensors."""

from __future__ import annotations

import argparse

from amssim.cli.job_options import add_job, job_options
from amssim.cli.terminal import Subparsers, add_json, add_no_verify, progress_bar

_DESCRIPTION = """\
Restore a quantised checkpoint to plain safetensors that any loader takes, for
evaluation in tools that do not know the format. Kept tensors stay as they are."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "dequantize",
        description=_DESCRIPTION,
        epilog="example: amssim dequantize model-fp4.25/ model-bf16/",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("src", metavar="SRC", help="what amssim quantize wrote")
    parser.add_argument("dst", metavar="DST", help="file or directory to write, as SRC")
    parser.add_argument(
        "--dtype",
        choices=["bfloat16", "float16", "float32"],
        default="bfloat16",
        help="of the restored weights (%(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="show the plan, read headers only")
    add_no_verify(parser)
    add_job(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Dequantise, or plan it, and print what came of it."""
    from amssim.cli.job_report import report

    if args.dry_run:
        from amssim.checkpoint import plan_dequantize

        report(plan_dequantize(args.src, args.dtype, threads=args.threads), args)
        return 0
    from amssim.checkpoint import dequantize_checkpoint

    with progress_bar(args.progress, "dequantising") as progress:
        job = dequantize_checkpoint(
            args.src,
            args.dst,
            args.dtype,
            verify=args.verify,
            progress=progress,
            **job_options(args),
        )
    report(job, args)
    return 0
