"""``amssim seal``: binds the files of a checkpoint into one set."""

from __future__ import annotations

import argparse

from amssim.cli.terminal import (
    Subparsers,
    add_json,
    add_progress,
    console,
    print_json,
    progress_bar,
)

SCHEMA = "amssim.seal/1"
_DESCRIPTION = """\
Write amssim.seal.json, which says of every file of a checkpoint what it holds,
and put its digest into each shard of amssim's: then a file that is missing,
altered or of another set is noticed by whatever reads the checkpoint. quantize
does it by itself; seal is for files of earlier versions, for files that other
tools saved, and for changes that are meant, such as an edited config.json.
Existing checksums are compared first; damage is not sealed."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "seal",
        description=_DESCRIPTION,
        epilog="example: amssim seal model-fp4.25/",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("path", metavar="PATH", help="directory of a checkpoint, of any tool's")
    add_progress(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Seal and print what was sealed."""
    from amssim.checkpoint import seal_checkpoint

    with progress_bar(args.progress, "sealing") as progress:
        result = seal_checkpoint(args.path, progress=progress)
    if args.json:
        print_json(SCHEMA, result.as_dict())
        return 0
    out = console()
    out.print(f"{args.path}: {len(result.seal.files)} files are one set", result.seal.digest)
    rewritten = ", ".join(result.rewritten)
    out.print(f"written: {rewritten}" if rewritten else "it was sealed already: nothing is changed")
    for remark in result.remarks:
        out.print(f"note: {remark}")
    if result.uncovered:
        out.print(f"not covered: {', '.join(result.uncovered)}")
    return 0
