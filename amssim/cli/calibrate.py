"""``amssim calibrate``: measure this machine and write a profile for ``amssim predict --gpu``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from amssim.errors import OutputError


def add_parser(subparsers) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "calibrate",
        help="measure this machine's GPU or CPU and write its profile",
        description="Run microbenchmarks (bandwidth, cache, latency, clock, pipes, launches; "
        "seconds) and write a profile. Leave the machine alone meanwhile.",
    )
    parser.add_argument("kind", choices=["gpu", "cpu"], help="what to measure")
    parser.add_argument("--output", type=Path, help="file to write (default: this-KIND.json)")
    parser.add_argument("--name", help="name of the profile (default: this-KIND)")
    parser.add_argument("--threads", type=int, help="CPU: threads to use (default: all)")
    parser.add_argument("--device", type=int, default=0, help="GPU: ordinal (%(default)s)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, write the profile and print its figures."""
    name = args.name or f"this-{args.kind}"
    path = args.output or Path(f"{name}.json")
    if path.exists() and not args.force:
        raise OutputError(f"{path} exists: give another --output, or --force to replace it")
    found = _measure(args, name)
    try:
        path.write_text(json.dumps(found.to_json(), indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None
    for field, figure in found.figures.items():
        print(f"{field:20} {figure.value:12.4g}  {figure.source}")
    print(f"wrote {path}: amssim predict --gpu {path}")
    return 0


def _measure(args: argparse.Namespace, name: str):
    if args.kind == "cpu":
        from amssim.simulator.calibrate_cpu import calibrate_cpu

        return calibrate_cpu(name, threads=args.threads)
    from amssim.simulator.calibrate_gpu import calibrate_gpu
    from cuda_kernels import inline

    return calibrate_gpu(name, inline, device=args.device)
