"""Options of the verbs that write a checkpoint."""

from __future__ import annotations

import argparse
from typing import Any

from amssim.cli.streams import say
from amssim.cli.terminal import add_links, add_work


def add_job(parser: argparse.ArgumentParser) -> None:
    """Add what is written and how the work is done."""
    parser.add_argument("--overwrite", action="store_true", help="replace files in DST")
    parser.add_argument(
        "--restart",
        action="store_true",
        help="discard unfinished work on DST; without, the same command continues it",
    )
    add_links(parser)
    add_work(parser)
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="N processes do the work, with --threads threads each (needs Dask)",
    )
    who.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="workers of this Dask scheduler do the work: tcp://HOST:8786",
    )


def job_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return these options as `quantize_checkpoint` takes them."""
    return {
        "follow_links": args.follow_links,
        "overwrite": args.overwrite,
        "restart": args.restart,
        "threads": args.threads,
        "workers": args.workers if args.scheduler is None else args.scheduler,
        "tell": say,
    }
