"""The GEMM by warp: whether a launch fits, what it costs, and which is taken."""

from __future__ import annotations

from amssim.launch.geometry import (
    CLUSTERS,
    GEMM,
    MOST_BLOCKS,
    NO_PLAN,
    ROW_BYTES,
    SLOT_BYTES,
    STEP,
    WARP_TILES,
    Gpu,
    LaunchPlan,
    ceil_div,
    column_tiles,
    row_stride,
    row_tiles,
    running,
    slice_of,
    units_of,
    waves_of,
)
from amssim.launch.shapes import GEMM_WARPS, WIDE_GEMM_WARPS
from amssim.launch.tuning.rule import Costs


def buffer_bytes(group: int, x_tiles: int) -> int:
    """Bytes of one of the GEMM's two buffers of activations."""
    return 8 * x_tiles * row_stride(group, STEP)


def try_gemm(
    gpu: Gpu, group: int, rows: int, columns: int, batch: int, warps: int, splits: int
) -> LaunchPlan:
    """A GEMM by warp."""
    x_tiles, block_tiles = column_tiles(batch), WARP_TILES * warps
    n = slice_of(units_of(group, columns), splits, STEP)
    sum_bytes = block_tiles * x_tiles * SLOT_BYTES
    shared = block_tiles * ROW_BYTES + max(2 * buffer_bytes(group, x_tiles), sum_bytes)
    blocks = ceil_div(row_tiles(rows), block_tiles)
    pieces_fit = ceil_div(x_tiles * 4, warps) <= STEP
    slots = running(gpu, splits)
    fits = shared <= gpu.shared_bytes and pieces_fit and blocks <= MOST_BLOCKS
    if n == 0 or slots == 0 or not fits:
        return NO_PLAN
    return LaunchPlan(
        kernel=GEMM,
        splits=splits,
        blocks=blocks,
        warps=warps,
        slots=slots,
        units=block_tiles * n,
        slice_units=n,
        columns=8 * x_tiles,
        loads=2 * STEP,
        shared_bytes=shared,
        block_tiles=block_tiles,
        groups=1,
        resident=1,
        team=1,
        depth=0,
    )


def best_gemm(
    gpu: Gpu, costs: Costs, group: int, rows: int, columns: int, batch: int
) -> LaunchPlan:
    """The launch by warp that the least time is expected of."""
    best, least = NO_PLAN, 0
    splits = 1
    while splits <= (8 if gpu.capability >= CLUSTERS else 1):
        for warps in GEMM_WARPS:
            plan = try_gemm(gpu, group, rows, columns, batch, warps, splits)
            allowed = column_tiles(batch) < 8 or warps in WIDE_GEMM_WARPS
            if plan.kernel > 0 and allowed:
                cost = gemm_cost(gpu, costs, plan)
                tied = cost == least and warps > best.warps
                if best.kernel == 0 or cost < least or tied:
                    best, least = plan, cost
        splits *= 2
    return best if best.kernel > 0 else without_limits(gpu, group, rows, columns, batch)


def gemm_cost(gpu: Gpu, costs: Costs, plan: LaunchPlan) -> int:
    """Relative time: waves of blocks times their units, and adding up a cluster."""
    narrow_sum = costs.gemm_sum + costs.gemm_sum_per_block * plan.splits
    to_add_up = costs.gemm_wide_sum if plan.columns == 64 else narrow_sum
    work = plan.slice_units * max(costs.gemm_least_warps, plan.warps)
    return waves_of(gpu, plan) * (work + to_add_up * (plan.splits > 1))


def without_limits(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> LaunchPlan:
    """What a GPU whose shared memory is too small for any launch would have to run."""
    boundless = Gpu(max(1, gpu.sms), 2**30, 80)
    return try_gemm(boundless, group, rows, columns, batch, 16, 1)
