"""The GEMV: the shapes its blocks may have, whether they fit, and which of them is taken."""

from __future__ import annotations

from typing import NamedTuple

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

MOST_ACTIVATION_BYTES = 180_000  # that a block should bring


class GemvShape(NamedTuple):
    """The blocks of a GEMV."""

    threads: int
    resident: int  # blocks for which a multiprocessor has room
    blocks: int  # blocks of a grid for each multiprocessor
    team: int  # warps that take turns
    depth: int  # bursts in a ring in shared memory, 0 for one burst in registers


#: Weights in registers:
ONE = GemvShape(threads=512, resident=1, blocks=1, team=1, depth=0)
WIDE = ONE._replace(threads=1024)
#: In a ring in shared memory:
RING, WIDE_RING = ONE._replace(depth=3), WIDE._replace(depth=2)
TWO_RINGS = ONE._replace(resident=2, blocks=2, depth=2)
TWO_RINGS_IN_TEAMS = TWO_RINGS._replace(team=4)
TWO_LARGE, TWO_MIDDLE = (TWO_RINGS._replace(threads=n, depth=3) for n in (448, 384))
TWO_SMALL = TWO_RINGS._replace(threads=256, depth=4)
#: One block per multiprocessor, with room for one of the next grid, which starts to load early.
PAIRED = ONE._replace(resident=2, depth=2)
MIDDLE = PAIRED._replace(threads=384, depth=3)
SMALL, DEEP = (PAIRED._replace(threads=256, depth=depth) for depth in (4, 6))
GEMV_SHAPES = (
    ONE,
    WIDE,
    RING,
    WIDE_RING,
    TWO_RINGS,
    TWO_RINGS_IN_TEAMS,
    TWO_LARGE,
    TWO_MIDDLE,
    TWO_SMALL,
    PAIRED,
    MIDDLE,
    SMALL,
    DEEP,
)


def try_gemv(
    gpu: Gpu, group: int, rows: int, columns: int, batch: int, shape: GemvShape, splits: int
) -> LaunchPlan:
    """A GEMV with blocks of a shape.

    It is good where at most two waves of blocks bring the activations, and none brings too many:
    else K is better shared, or another shape better taken (H200 and H100).
    """
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
    clusters = max(1, running(gpu, splits) * shape.blocks // splits)
    waves = ceil_div(tiles, clusters * most_tiles)
    blocks = min(tiles, clusters * waves)
    block_tiles = ceil_div(tiles, blocks)
    units = block_tiles * n
    share = ceil_div(units, teams * BURST) * BURST
    if units * max(n, share) >= 2**32 or blocks > MOST_BLOCKS:  # the kernel divides in 32 bits
        return NO_PLAN
    good = waves <= 2 and x_bytes <= MOST_ACTIVATION_BYTES
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
        good=good,
        shared_bytes=fixed_bytes + block_tiles * (ROW_BYTES + team * slot_bytes),
        block_tiles=block_tiles,
        groups=1,
        resident=shape.resident,
        team=team,
        depth=shape.depth,
    )


def best_gemv(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> LaunchPlan:
    """The first block shape, with the fewest slices, that is good, or else that fits."""
    first, splits = NO_PLAN, 1
    while splits <= (4 if gpu.capability >= CLUSTERS else 1):
        for shape in gemv_shapes(gpu, group, rows, columns, batch):
            plan = try_gemv(gpu, group, rows, columns, batch, shape, splits)
            if plan.good:
                return plan
            if first.kernel == 0:
                first = plan
        splits *= 2
    return first


def gemv_shapes(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> tuple[GemvShape, ...]:
    """Block shapes in the order of preference, four of them; the last may come again."""
    small = rows * columns < 2**25
    if batch > 8:
        return (ONE, WIDE, WIDE, WIDE) if group == 4 else (WIDE, ONE, ONE, ONE)
    if batch > 2:
        return (ONE, WIDE, WIDE, WIDE) if small else (RING, WIDE, ONE, ONE)
    tiles, slots, long = row_tiles(rows), 2 * gpu.sms, columns > 20000
    if small:
        return (SMALL, MIDDLE, ONE, WIDE) if group == 4 else (DEEP, MIDDLE, WIDE, ONE)
    many = 1600 <= tiles < 3000
    if group == 4:
        if long or (batch == 2 and tiles > 1000):
            return RING, ONE, WIDE, WIDE
        return (TWO_SMALL if many else MIDDLE), PAIRED, RING, ONE
    if long:
        return WIDE_RING, WIDE, ONE, ONE
    if rows > columns and slots < tiles < 3000:
        return (TWO_LARGE if many else TWO_MIDDLE), RING, WIDE, ONE
    if slots < tiles < 3 * gpu.sms:
        return PAIRED, RING, WIDE, ONE
    in_teams = batch == 1 and (tiles <= slots or tiles >= 1000)
    return (TWO_RINGS_IN_TEAMS if in_teams else TWO_RINGS), RING, WIDE, ONE
