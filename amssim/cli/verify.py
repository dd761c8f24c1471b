"""``amssim verify``: every stored byte, and the error against the source."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from amssim._text import tail
from amssim._units import size
from amssim.cli.terminal import (
    Subparsers,
    add_json,
    add_links,
    add_work,
    console,
    print_json,
    progress_bar,
    table,
)

if TYPE_CHECKING:
    from amssim import Metrics
    from amssim.checkpoint import Verification
    from amssim.checkpoint.packed.set_check import Coverage
    from amssim.cli.tables import TextTable

SCHEMA = "amssim.verification/1"
_WORST = 5
_DESCRIPTION = """\
Check a quantised checkpoint by its own metadata alone: structure, the checksum
of every tensor, bits that are never written, and that the files are one sealed
set. Says which files are covered and which are not. With --source, also that
quantising it again gives the same bits, and how large the error is."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "verify",
        description=_DESCRIPTION,
        epilog="example: amssim verify model-fp4.25/ --source model/",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("path", metavar="PATH", help="what amssim quantize wrote")
    parser.add_argument("--source", metavar="SRC", help="the float checkpoint it was made from")
    add_links(parser)
    add_work(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Verify and print what was checked."""
    from amssim.checkpoint import verify_checkpoint

    with progress_bar(args.progress, "verifying") as progress:
        result = verify_checkpoint(
            args.path,
            args.source,
            follow_links=args.follow_links,
            threads=args.threads,
            progress=progress,
        )
    if args.json:
        print_json(SCHEMA, result.as_dict())
        return 0
    out = console()
    checked = f"{result.tensors} tensors in {size(result.nbytes)}"
    out.print(f"{checked} are intact, {result.packed} of them packed")
    out.print(_covered(result.coverage))
    if result.source is not None:
        out.print("quantising the source again gives the same bits; the error is")
        out.print(_errors(result))
    return 0


def _covered(coverage: Coverage) -> str:
    """What the files are compared with, and which are not, a sentence a line."""
    whole, uncovered = len(coverage.by_seal), coverage.uncovered
    lines = [f"files with checksums of their own: {len(coverage.by_checksums)}"]
    lines += [f"files that the seal covers whole: {whole}"] if coverage.sealed else []
    if not coverage.sealed and uncovered:
        lines.append("unsealed set: nothing binds these files together (amssim seal)")
    if uncovered:
        lines.append(f"not covered: {', '.join(uncovered)}")
    return "\n".join(lines)


def _errors(result: Verification) -> TextTable:
    rows = table("tensor", "SQNR dB", "rel. error", "cosine", "max", "p99")
    worst = sorted(result.metrics, key=lambda name: result.metrics[name].sqnr_db)
    for name in worst[:_WORST]:
        rows.add_row(tail(name), *_figures(result.metrics[name]))
    if len(worst) > _WORST:
        rows.add_row(f"... {len(worst) - _WORST} better ones", *[""] * 5)
    rows.add_section()
    rows.add_row("all packed weights", *_figures(result.total))
    return rows


def _figures(metrics: Metrics) -> list[str]:
    return [
        f"{metrics.sqnr_db:.2f}",
        f"{metrics.relative_frobenius:.2%}",
        f"{metrics.cosine:.5f}",
        f"{metrics.max_error:.3g}",
        f"{metrics.p99_error:.3g}",
    ]
