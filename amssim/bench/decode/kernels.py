"""Where the time of a step goes: launches of the GPU, each counted under one part of the step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

#: Parts of a step, in the order of a table.
PARTS = ("products", "head", "attention", "norms and activations", "other", "gaps")
_NAME = 80  # characters of a kernel's name that are kept
_PACKED = ("cuda_kernels",)
_FLOAT = ("nvjet", "gemm", "gemv", "cublas", "cutlass", "splitk", "sm90_xmma")
_ATTENTION = ("fmha", "flash", "attention", "lean_reduction", "cudnn", "_attend")


class Launch(NamedTuple):
    """A kernel that ran, in microseconds of any clock."""

    kernel: str
    start: float
    end: float


def part_named(kernel: str) -> str:
    """Return the part of a step that a kernel belongs to, as far as its name tells.

    The compiler names a kernel after all operators that it fused, also those around it: such a
    kernel is no product whatever its name says.

    >>> part_named("triton_poi_fused_gemv_mul_silu_slice_8")
    'norms and activations'
    """
    name = kernel.lower()
    if name.startswith("triton_tem"):  # a template, so a product or attention itself
        return "attention" if "attention" in name else "products"
    if name.startswith("triton"):
        return "attention" if "scaled_dot_product" in name else "norms and activations"
    if any(word in name for word in _PACKED):
        return "products"
    if any(word in name for word in _ATTENTION):
        return "attention"
    return "products" if any(word in name for word in _FLOAT) else "other"


def alone_us(launches: Sequence[Launch]) -> list[float]:
    """Return for each launch, in order of their starts, the time past the end of those before it.

    Launches may overlap: what two share counts for the first. The sum is the time in which
    anything ran.
    """
    busy_until, alone = float("-inf"), []
    for launch in launches:
        alone.append(max(0.0, launch.end - max(launch.start, busy_until)))
        busy_until = max(busy_until, launch.end)
    return alone


def parts_us(launches: Iterable[Launch]) -> dict[str, dict[str, float]]:
    """Return for each part of a step how many launches it had and the microseconds it took.

    The head is the last product. Gaps are what nothing ran in between the first start and the
    last end, so that all parts add up to the step.
    """
    ordered = sorted(launches, key=lambda launch: launch.start)
    parts = [part_named(launch.kernel) for launch in ordered]
    _rename_head(parts, [launch.kernel for launch in ordered])
    found = {part: {"launches": 0.0, "us": 0.0} for part in PARTS}
    for part, us in zip(parts, alone_us(ordered), strict=True):
        found[part]["launches"] += 1
        found[part]["us"] += us
    if ordered:
        whole = max(launch.end for launch in ordered) - ordered[0].start
        found["gaps"]["us"] = whole - sum(part["us"] for part in found.values())
    return found


def longest(launches: Iterable[Launch], count: int = 16) -> list[dict[str, Any]]:
    """Return the kernels that took longest, all launches of each together.

    "us" is as in `alone_us`, "whole_us" from start to end, with what overlaps.
    """
    ordered = sorted(launches, key=lambda launch: launch.start)
    found: dict[str, dict[str, Any]] = {}
    for launch, us in zip(ordered, alone_us(ordered), strict=True):
        name = launch.kernel[:_NAME]
        kind = found.setdefault(name, {"kernel": name, "launches": 0, "us": 0.0, "whole_us": 0.0})
        kind["launches"] += 1
        kind["us"] += us
        kind["whole_us"] += launch.end - launch.start
    return sorted(found.values(), key=lambda kind: -kind["us"])[:count]


def _rename_head(parts: list[str], kernels: list[str]) -> None:
    """The last product is the head, with what adds up its slices."""
    for i in reversed(range(len(parts))):
        if parts[i] == "products":
            parts[i] = "head"
            if "splitkreduce" not in kernels[i].lower():
                return
