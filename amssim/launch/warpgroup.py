"""The GEMM by warpgroup: whether a launch fits, what it costs, and when it pays."""

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

HOPPER = 90  # the one capability whose warpgroups multiply by these instructions
#: (warps of a block, groups of them that share K).
WARPGROUP_SHAPES = ((8, 1), (8, 2), (12, 1), (12, 3), (16, 1), (16, 2), (16, 4))


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
        good=False,
        shared_bytes=shared,
        block_tiles=block_tiles,
        groups=groups,
        resident=1,
        team=1,
        depth=0,
    )


def better_by_warpgroup(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> bool:
    """Whether warpgroups pay: above 16 rows of x, and below in large layers."""
    if gpu.capability != HOPPER or batch <= 4:
        return False
    if batch > 16:
        return rows >= 4096
    if rows * columns < 2**27 or rows < 8192:
        return False
    if group == 3:
        return columns > 16000
    return columns > (8192 if batch > 8 else 20000)


def best_warpgroup(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> LaunchPlan:
    """The launch by warpgroup that the least time is expected of."""
    best, least = NO_PLAN, 0.0
    for splits in (1, 2, 4, 8):
        for warps, groups in WARPGROUP_SHAPES:
            plan = try_warpgroup(gpu, group, rows, columns, batch, warps, groups, splits)
            if plan.kernel > 0:
                cost = warpgroup_cost(gpu, plan)
                tied = cost == least and plan.warps < best.warps
                if best.kernel == 0 or cost < least or tied:
                    best, least = plan, cost
    return best


def warpgroup_cost(gpu: Gpu, plan: LaunchPlan) -> float:
    """Relative time: waves of blocks times their rounds; to start and to add up cost 5 rounds.

    More groups mean more rows of blocks that each bring all activations, which counts most in wide
    kernels. Within 0.5 % of the best measured shape on average, 6 % at worst, over 38 products of
    up to four blocks; for eight to add up 64 columns costs 17.
    """
    rounds = ceil_div(plan.slice_units, STEP * plan.groups)
    per_round = 6.0 * plan.groups if plan.columns == 64 else 2.0 * plan.groups + 0.5
    work = rounds * (plan.warps + per_round)
    together = 17.0 if plan.splits == 8 and plan.columns == 64 else 5.0 * (plan.splits > 1)
    return waves_of(gpu, plan) * (work + 5.0 + together)
