"""``amssim calibrate``: measure this machine and write a profile for ``amssim predict --gpu``."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from amssim.cli import output_file
from amssim.cli.terminal import Subparsers, console
from amssim.errors import OutputError

if TYPE_CHECKING:
    from amssim.hardware import Profile


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "calibrate",
        description="Run microbenchmarks (bandwidth, cache, latency, clock, pipes, launches; "
        "seconds) and write a profile. Leave the machine alone meanwhile.",
    )
    parser.add_argument("kind", choices=["gpu", "cpu"], help="what to measure")
    parser.add_argument("--output", type=Path, help="file to write (default: this-KIND.json)")
    parser.add_argument("--name", help="name of the profile (default: this-KIND)")
    parser.add_argument("--threads", type=int, help="CPU: threads to use (default: all)")
    parser.add_argument("--device", type=int, default=0, help="GPU: ordinal (%(default)s)")
    parser.add_argument("--compare", metavar="DEVICE", help="profile to show beside the figures")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, write the profile and print its figures."""
    from amssim.hardware import from_json, profile

    name = args.name or f"this-{args.kind}"
    path = args.output or Path(f"{name}.json")
    if os.path.lexists(path) and not args.force:
        raise OutputError(f"{path} exists: give another --output, or --force to replace it")
    if not os.path.isdir(path.parent):  # noqa: PTH112  no error for names of any kind
        raise OutputError(f"cannot write {path}: there is no folder {path.parent}")
    other = profile(args.compare) if args.compare else None
    measured = from_json(_measure(args, name).as_dict(), "what was measured")
    try:
        output_file.replace(path, json.dumps(measured.as_dict(), indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None
    console().print(_table(measured, other), f"wrote {path}: amssim predict --gpu {path}")
    return 0


def _table(measured: Profile, other: Profile | None) -> str:
    """Every figure, and that of another profile beside it."""
    from amssim.hardware import FIELDS

    beside = "" if other is None else f"{other.name:>12}  ratio"
    lines = [f"{'figure':20} {'unit':6} {'measured':>10}{beside}"]
    for name, field in FIELDS.items():
        value = measured.value(name)
        line = f"{name:20} {field.unit:6} {value:10.4g}"
        if other is not None:
            line += f"{other.value(name):12.4g}{value / other.value(name):7.2f}"
        lines.append(line)
    return "\n".join(lines)


def _measure(args: argparse.Namespace, name: str) -> Profile:
    from amssim.bench import calibrate_cpu, calibrate_gpu

    if args.kind == "cpu":
        return calibrate_cpu(name, threads=args.threads)
    return calibrate_gpu(name, device=args.device)
