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
    add_no_verify(parser)
    add_job(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Dequantise and print what was written."""
    from amssim.checkpoint import dequantize_checkpoint
    from amssim.cli.job_report import report

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
