"""The GEMV: whether a shape of blocks fits, and which of them is taken."""

from __future__ import annotations

from amssim.launch.geometry import (
    BURST,
    CLUSTERS,
    GEMV,
    MOST_BLOCKS,
    NO_PLAN,
    ROW_BYTES,
    SLOT_BYTES,
    STATIC_BYTES,
    Gpu,
    LaunchPlan,
    burst_bytes,
    ceil_div,
    column_tiles,
    row_stride,
    row_tiles,
    running,
    slice_of,
    units_of,
)
from amssim.launch.shapes import GEMV_SHAPES, GemvShape
from amssim.launch.tuning.rule import Costs, ShapeNumbers


def try_gemv(
    gpu: Gpu, group: int, rows: int, columns: int, batch: int, shape: GemvShape, splits: int
) -> LaunchPlan:
    """A GEMV with blocks of a shape."""
    tiles, x_tiles = row_tiles(rows), column_tiles(batch)
    n, team = slice_of(units_of(group, columns), splits, BURST), shape.team
    if n == 0 or (n < BURST * team and team > 1):
        return NO_PLAN
    teams, slot_bytes = shape.threads // 32 // team, x_tiles * SLOT_BYTES
    room = gpu.shared_bytes // shape.resident - (STATIC_BYTES if shape.resident > 1 else 0)
    x_bytes = batch * row_stride(group, n)
    fixed_bytes = x_bytes + teams * team * (slot_bytes + shape.depth * burst_bytes(group))
    most_tiles = (room - fixed_bytes) // (team * slot_bytes + ROW_BYTES)
    if most_tiles < 1:
        return NO_PLAN
    clusters = clusters_at_once(gpu, shape, splits)
    waves = ceil_div(tiles, clusters * most_tiles)
    blocks = min(tiles, clusters * waves)
    block_tiles = ceil_div(tiles, blocks)
    units = block_tiles * n
    share = ceil_div(units, teams * BURST) * BURST
    if units * max(n, share) >= 2**32 or blocks > MOST_BLOCKS:  # the kernel divides in 32 bits
        return NO_PLAN
    return LaunchPlan(
        kernel=GEMV,
        splits=splits,
        blocks=blocks,
        warps=shape.threads // 32,
        slots=max(1, running(gpu, splits) * shape.resident // splits) * splits,
        units=units,
        slice_units=n,
        columns=8 * x_tiles,
        loads=BURST * max(1, shape.depth),
        shared_bytes=fixed_bytes + block_tiles * (ROW_BYTES + team * slot_bytes),
        block_tiles=block_tiles,
        groups=1,
        resident=shape.resident,
        team=team,
        depth=shape.depth,
    )


def clusters_at_once(gpu: Gpu, shape: GemvShape, splits: int) -> int:
    """Clusters of blocks of a shape that a wave has."""
    return max(1, running(gpu, splits) * shape.blocks // splits)


def best_gemv(
    gpu: Gpu, costs: Costs, shapes: ShapeNumbers, group: int, rows: int, columns: int, batch: int
) -> LaunchPlan:
    """The launch of the first shape, with the fewest slices, that brings little, or else fits.

    ``shapes`` are places in `GEMV_SHAPES`, in the order of preference.
    """
    first, splits = NO_PLAN, 1
    while splits <= (4 if gpu.capability >= CLUSTERS else 1):
        for number in shapes:
            shape = GEMV_SHAPES[number]
            plan = try_gemv(gpu, group, rows, columns, batch, shape, splits)
            if plan.kernel > 0:
                x_bytes = batch * row_stride(group, plan.slice_units)
                waves = ceil_div(plan.blocks, clusters_at_once(gpu, shape, splits))
                if brings_little(costs, waves, x_bytes):
                    return plan
                if first.kernel == 0:
                    first = plan
        splits *= 2
    return first


def brings_little(costs: Costs, waves: int, activation_bytes: int) -> bool:
    """Whether blocks bring activations seldom, and each of them few.

    Else K is better shared, or another shape better taken.
    """
    return waves <= costs.gemv_waves and activation_bytes <= costs.gemv_activation_bytes
