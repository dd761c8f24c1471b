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
    """Print ``job`` of a verb with DST, --json and perhaps --dry-run and --part."""
    part = getattr(args, "part", None)
    dry = getattr(args, "dry_run", False)
    figures = job.as_dict()
    if args.json:
        print_json(SCHEMA, {"target": args.dst, "written": not (dry or part)} | figures)
        return
    from amssim.cli.checkpoint_tables import coverage_line, summary_table, tensor_table

    out = console()
    if dry:
        out.print(tensor_table(job.summary))
    out.print(summary_table(job.summary))
    if job.summary.packed.tensors:
        out.print(coverage_line(job.summary))
    out.print(_written(job, args.dst, dry, part))
    for remark in figures["remarks"]:
        out.print(f"note: {remark}")
    if figures["files_left_out"]:
        out.print(f"note: not copied: {', '.join(figures['files_left_out'])}")


def _written(job: Job, target: str, dry: bool, part: str | None) -> str:
    written = size(job.output_bytes)
    if part and not dry:
        return f"part {part} is done: when all are, amssim finish {target}"
    if not dry:
        return f"wrote {written} to {target}"
    memory = size(job.peak_bytes)
    return f"would write {written} to {target}, using at most {memory} of memory"
