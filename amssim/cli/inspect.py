"""``amssim inspect``: what is in a checkpoint, or where the bits of a scheme lie."""

from __future__ import annotations

import argparse
from typing import Any

from amssim.cli.terminal import Subparsers, add_json, add_links, console, print_json

SCHEMA = "amssim.inspection/1"
_DESCRIPTION = """\
Show what is in a checkpoint, amssim's or any other: tensors, schemes, effective
bits, how much is quantised and why the rest is not. Reads headers only."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "inspect",
        description=_DESCRIPTION,
        epilog="examples:\n  amssim inspect model-fp4.25/\n  amssim inspect --layout fp4.25\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("path", metavar="PATH", nargs="?", help=".safetensors file or directory")
    parser.add_argument("--layout", metavar="SCHEME", help="draw where the bits of a block lie")
    add_links(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the contents of PATH, the layout of SCHEME, or both."""
    from amssim.errors import InputError

    if args.path is None and args.layout is None:
        raise InputError("nothing to inspect: give a PATH, or a scheme with --layout")
    answer: dict[str, Any] = {}
    if args.layout is not None:
        answer["layout"] = _layout(args)
    if args.path is not None:
        answer |= _contents(args)
    if args.json:
        print_json(SCHEMA, answer)
    return 0


def _layout(args: argparse.Namespace) -> dict[str, Any]:
    from amssim.drawing import draw_block
    from amssim.layout import layout
    from amssim.scheme import scheme

    drawn = scheme(args.layout)
    if not args.json:
        print(draw_block(drawn))
    return layout(drawn).as_dict()


def _contents(args: argparse.Namespace) -> dict[str, Any]:
    from amssim.checkpoint import inspect_checkpoint
    from amssim.cli.checkpoint_tables import coverage_line, summary_table, tensor_table

    inspection = inspect_checkpoint(args.path, follow_links=args.follow_links)
    if not args.json:
        out = console()
        out.print(tensor_table(inspection.summary))
        out.print(summary_table(inspection.summary))
        out.print(coverage_line(inspection.summary))
        for remark in inspection.remarks:
            out.print(f"note: {remark}")
    return inspection.as_dict()
