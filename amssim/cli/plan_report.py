"""What was written, or would be: tables or JSON of a plan."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from amssim._units import size
from amssim.checkpoint.safetensors.names import shown
from amssim.cli.terminal import console, print_json

if TYPE_CHECKING:
    from amssim.checkpoint.jobs.plan import Plan

SCHEMA = "amssim.plan/1"


def report(plan: Plan, args: argparse.Namespace) -> None:
    """Print ``plan`` of a verb with SRC, DST, --json and perhaps --dry-run."""
    dry = getattr(args, "dry_run", False)
    if args.json:
        print_json(SCHEMA, {"target": args.dst, "written": not dry} | plan.as_dict())
        return
    from amssim.cli.checkpoint_tables import coverage_line, summary_table, tensor_table

    out = console()
    if dry:
        out.print(tensor_table(plan.summary))
    out.print(summary_table(plan.summary))
    if any(step.after.packing for step in plan.steps()):
        out.print(coverage_line(plan.summary))
    out.print(_written(plan, args.dst, dry))
    for remark in plan.as_dict()["remarks"]:
        out.print(f"note: {shown(remark)}")
    left_out = plan.as_dict()["files_left_out"]
    if left_out:
        out.print(f"note: not copied: {shown(', '.join(left_out))}")


def _written(plan: Plan, target: str, dry: bool) -> str:
    written, target = size(plan.output_bytes), shown(target)
    if not dry:
        return f"wrote {written} to {target}"
    memory = size(plan.peak_bytes)
    return f"would write {written} to {target}, using at most {memory} of memory"
