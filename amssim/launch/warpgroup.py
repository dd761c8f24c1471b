"""The GEMM by warpgroup: whether a launch fits, what it costs, and which is taken."""

from __future__ import annotations

from amssim.launch.geometry import (
    MOST_BLOCKS,
    NO_PLAN,
    ROW_BYTES,
    SLOT_BYTES,
    STEP,
    WARP_TILES,
    WARPGROUP,
    Gpu,
    LaunchPlan,
    ceil_div,
    column_tiles,
    raw_stride,
    row_tiles,
    running,
    slice_of,
    tasks_of,
    unit_columns,
    units_of,
    waves_of,
)
from amssim.launch.shapes import WARPGROUP_SHAPES
from amssim.launch.tuning.rule import Costs


def raw_bytes(group: int, x_tiles: int, warps: int, groups: int) -> int:
    """Bytes where the warps of a block put activations as they come."""
    return 8 * raw_stride(group) * tasks_of(x_tiles, warps, groups) * warps


def round_bytes(group: int, x_tiles: int, groups: int) -> int:
    """Bytes of one of the warpgroups' two buffers of activations."""
    return STEP * groups * 16 * unit_columns(group) * x_tiles


def try_warpgroup(
    gpu: Gpu, group: int, rows: int, columns: int, batch: int, warps: int, groups: int, splits: int
) -> LaunchPlan:
    """A GEMM by warpgroup whose warps form ``groups`` that share K."""
    x_tiles, mates, round_units = column_tiles(batch), warps // groups, STEP * groups
    n = slice_of(units_of(group, columns), splits, round_units)
    work = 2 * round_bytes(group, x_tiles, groups) + raw_bytes(group, x_tiles, warps, groups)
    most = WARP_TILES * mates
    shared = most * ROW_BYTES + max(work, WARP_TILES * warps * x_tiles * SLOT_BYTES)
    tiles, clusters = row_tiles(rows), running(gpu, splits) // splits
    if n == 0 or shared > gpu.shared_bytes or clusters == 0:
        return NO_PLAN
    rounds = ceil_div(tiles, most * clusters)
    block_tiles = min(most, ceil_div(tiles, rounds * clusters))
    blocks = ceil_div(tiles, block_tiles)
    if blocks > MOST_BLOCKS:
        return NO_PLAN
    return LaunchPlan(
        kernel=WARPGROUP,
        splits=splits,
        blocks=blocks,
        warps=warps,
        slots=running(gpu, splits),
        units=most * ceil_div(n, round_units) * round_units,
        slice_units=n,
        columns=8 * x_tiles,
        loads=2 * STEP,
        shared_bytes=shared,
        block_tiles=block_tiles,
        groups=groups,
        resident=1,
        team=1,
        depth=0,
    )


def best_warpgroup(
    gpu: Gpu, costs: Costs, group: int, rows: int, columns: int, batch: int
) -> LaunchPlan:
    """The launch by warpgroup that the least time is expected of."""
    best, least = NO_PLAN, 0.0
    for splits in (1, 2, 4, 8):
        for warps, groups in WARPGROUP_SHAPES:
            plan = try_warpgroup(gpu, group, rows, columns, batch, warps, groups, splits)
            if plan.kernel > 0:
                cost = warpgroup_cost(gpu, costs, plan)
                tied = cost == least and plan.warps < best.warps
                if best.kernel == 0 or cost < least or tied:
                    best, least = plan, cost
    return best


def warpgroup_cost(gpu: Gpu, costs: Costs, plan: LaunchPlan) -> float:
    """Relative time: waves of blocks times their rounds, and adding up a cluster.

    More groups mean more rows of blocks that each bring all activations, which counts most in wide
    kernels.
    """
    wide = plan.columns == 64
    wide_round = costs.warpgroup_wide_round * plan.groups
    narrow_round = costs.warpgroup_group_round * plan.groups + costs.warpgroup_round
    rounds = ceil_div(plan.slice_units, STEP * plan.groups)
    work = rounds * (plan.warps + (wide_round if wide else narrow_round))
    to_add_up = costs.warpgroup_sum * (plan.splits > 1)
    if wide and plan.splits == 8:
        to_add_up = costs.warpgroup_wide_sum
    return waves_of(gpu, plan) * (work + costs.warpgroup_start + to_add_up)
