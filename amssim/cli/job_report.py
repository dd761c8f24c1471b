"""What was written, or would be: tables or JSON of a job."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from amssim._units import size
from amssim.cli.terminal import console, print_json

if TYPE_CHECKING:
    from amssim.checkpoint import Job

SCHEMA = "amssim.plan/1"


def report(job: Job, args: argparse.Namespace) -> None:
    """Print ``job`` of a verb with SRC, DST, --json and perhaps --dry-run."""
    dry = getattr(args, "dry_run", False)
    figures = job.as_dict()
    if args.json:
        print_json(SCHEMA, {"target": args.dst, "written": not dry} | figures)
        return
    from amssim.cli.checkpoint_tables import coverage_line, summary_table, tensor_table

    out = console()
    if dry:
        out.print(tensor_table(job.summary))
    out.print(summary_table(job.summary))
    if job.summary.packed.tensors:
        out.print(coverage_line(job.summary))
    out.print(_written(job, args.dst, dry))
    for remark in figures["remarks"]:
        out.print(f"note: {remark}")
    if figures["files_left_out"]:
        out.print(f"note: not copied: {', '.join(figures['files_left_out'])}")


def _written(job: Job, target: str, dry: bool) -> str:
    written = size(job.output_bytes)
    if not dry:
        return f"wrote {written} to {target}"
    memory = size(job.peak_bytes)
    return f"would write {written} to {target}, using at most {memory} of memory"
