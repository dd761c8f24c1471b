"""All launches that a product could have: what the choice is measured against."""

from __future__ import annotations

from collections.abc import Iterator

from amssim.launch.choose import plan_launch
from amssim.launch.gemm import try_gemm
from amssim.launch.gemv import try_gemv
from amssim.launch.geometry import CLUSTERS, GEMV_BATCH, HOPPER, KERNEL_NAMES, Gpu, LaunchPlan
from amssim.launch.shapes import (
    GEMM_WARPS,
    GEMV_SHAPES,
    STREAM_DEPTHS,
    STREAM_WARPS,
    WARPGROUP_SHAPES,
)
from amssim.launch.stream import try_stream
from amssim.launch.warpgroup import try_warpgroup

SPLITS = (1, 2, 4, 8)
_MOST_STREAM_SPLITS, _MOST_GEMV_SPLITS = 4, 4
#: Rows of x from which a GEMM may pay: it multiplies by eight of them in any case.
_LEAST_GEMM_BATCH = 4
#: A launch is hopeless that keeps less than this share of what the busiest of its kernel keeps.
_HOPELESS = 0.5


def possible_launches(
    gpu: Gpu, group: int, rows: int, columns: int, batch: int
) -> tuple[LaunchPlan, ...]:
    """Return the launches of a product worth measuring; one is the one that we choose.

    Left out are GEMMs for fewer than 4 rows of x, and launches in whose waves fewer than half as
    many blocks run as in those of another launch of the same kernel.

    >>> h200 = Gpu(sms=132, shared_bytes=232_448, capability=90)
    >>> plans = possible_launches(h200, 4, 8192, 8192, 1)
    >>> len(plans), sorted({KERNEL_NAMES[plan.kernel] for plan in plans})
    (45, ['gemv', 'stream'])
    """
    chosen = plan_launch(gpu, group, rows, columns, batch)
    plans = list(_fitting(gpu, group, rows, columns, batch))
    busiest = dict.fromkeys(range(len(KERNEL_NAMES)), 0.0)
    for plan in plans:
        busiest[plan.kernel] = max(busiest[plan.kernel], busy_share(plan))
    hopeful = [plan for plan in plans if busy_share(plan) >= _HOPELESS * busiest[plan.kernel]]
    return tuple({plan_name(plan): plan for plan in (*hopeful, chosen)}.values())


def busy_share(plan: LaunchPlan) -> float:
    """Return the mean share of the blocks for which the GPU has room that its waves fill."""
    blocks = plan.splits * plan.blocks
    waves = -(-blocks // plan.slots)
    return blocks / (waves * plan.slots)


def plan_name(plan: LaunchPlan) -> str:
    """Return what tells a launch from all others of one product.

    >>> plan_name(plan_launch(Gpu(132, 232_448, 90), 4, 8192, 8192, 64))
    'warpgroup 12w 29b /4 r1 t1 d0 g1'
    """
    return (
        f"{KERNEL_NAMES[plan.kernel]} {plan.warps}w {plan.blocks}b /{plan.splits} "
        f"r{plan.resident} t{plan.team} d{plan.depth} g{plan.groups}"
    )


def _fitting(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> Iterator[LaunchPlan]:
    """Yield the launches of every kernel that fit."""
    for splits in SPLITS if gpu.capability >= CLUSTERS else (1,):
        for plan in _of_splits(gpu, (group, rows, columns, batch), splits):
            if plan.kernel:
                yield plan


def _of_splits(gpu: Gpu, product: tuple[int, int, int, int], splits: int) -> Iterator[LaunchPlan]:
    """Yield the launches of every kernel whose clusters have so many blocks."""
    batch = product[-1]
    if batch <= GEMV_BATCH and splits <= _MOST_GEMV_SPLITS:
        yield from (try_gemv(gpu, *product, shape, splits) for shape in GEMV_SHAPES)
    if batch <= GEMV_BATCH and splits <= _MOST_STREAM_SPLITS and gpu.capability >= CLUSTERS:
        for warps in STREAM_WARPS:
            for depth in STREAM_DEPTHS:
                yield try_stream(gpu, *product, warps, depth, splits)
    if batch < _LEAST_GEMM_BATCH:
        return
    yield from (try_gemm(gpu, *product, warps, splits) for warps in GEMM_WARPS)
    if gpu.capability == HOPPER:
        for warps, groups in WARPGROUP_SHAPES:
            yield try_warpgroup(gpu, *product, warps, groups, splits)
