"""``amssim bench``: measure speed on this machine."""

from __future__ import annotations

from amssim.cli import bench_checkpoint, bench_cpu, bench_decode, bench_gpu
from amssim.cli.terminal import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add the verb and what can be measured."""
    parser = subparsers.add_parser(
        "bench",
        description="Measure every fast path beside a baseline.",
    )
    targets = parser.add_subparsers(metavar="TARGET", required=True)
    bench_cpu.add_parser(targets)
    bench_gpu.add_parser(targets)
    bench_checkpoint.add_parser(targets)
    bench_decode.add_parser(targets)
