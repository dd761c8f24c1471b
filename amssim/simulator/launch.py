"""Which kernel of ours serves a product, in which blocks: cuda_kernels/plan.py as plain arithmetic.

The plan, and the arithmetic of cuda_kernels/grids.py, are stated twice on purpose: this copy needs
neither Numba nor a GPU for one prediction, and compiles for millions (docs/decisions/0003). A test
holds the two together, choice by choice. Functions have the names of their originals, and the
reasons stand there. Nothing here checks its input; all sizes are whole numbers.
"""

from __future__ import annotations

from typing import NamedTuple

#: What `Plan.kernel` may be; 0 is no launch at all.
GEMV, GEMM, WARPGROUP = 1, 2, 3
GEMV_BATCH, GEMM_BATCH = 16, 64
STATIC_BYTES = 1024  # of shared memory that each block takes for itself
MOST_ACTIVATION_BYTES = 180_000  # that a block of the GEMV should bring
SLOT_BYTES = 512  # sums of 16 rows x 8 columns, float32
TILE_ROWS, WARP_TILES, STEP = 16, 2, 4
UNIT_BYTES = 512
BURST, TAIL_BYTES = 4, 128  # units that a warp of the GEMV takes at a time, FP4.25's shared bits
MOST_ACTIVATION_BYTES = 180_000  # that a block of the GEMV should bring
#: Block shapes of the GEMV: threads, blocks that fit a multiprocessor, blocks that a grid has for
#: each, warps of a team, bursts in a ring in shared memory (0: one burst in registers).
ONE, TWO, WIDE = (512, 1, 1, 1, 0), (512, 2, 2, 1, 0), (1024, 1, 1, 1, 0)
SMALL = (384, 2, 2, 1, 0)
WIDE_IN_TEAMS, TWO_RINGS = (1024, 1, 1, 4, 0), (512, 2, 2, 4, 2)
RING, PAIRED_RING = (512, 1, 1, 1, 3), (512, 2, 1, 1, 2)
GEMM_WARPS, WIDE_GEMM_WARPS = (16, 14, 12, 10, 8, 6), (12, 8)  # of the latter with 64 columns
WARPGROUP_SHAPES = ((8, 1), (8, 2), (12, 1), (12, 3), (16, 1), (16, 2), (16, 4))


class Gpu(NamedTuple):
    """What a plan needs to know of a GPU; ``capability`` is ten times CUDA's."""

    sms: int
    shared_bytes: int
    capability: int


class Plan(NamedTuple):
    """One launch."""

    kernel: int  # GEMV, GEMM, WARPGROUP; 0 where the choices do not fit
    splits: int  # blocks that share K
    blocks: int  # ranges of row tiles
    warps: int
    slots: int  # blocks that run at a time
    units: int  # that the warps of a block multiply, those past the end included
    slice_units: int  # along K
    columns: int  # of x that are multiplied at once, in eights
    loads: int  # units that a warp keeps requested
    good: bool  # whether a GEMV brings activations seldom, and not too many


NO_PLAN = Plan(0, 0, 0, 0, 0, 0, 0, 0, 0, False)


def ceil_div(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)


def running(gpu: Gpu, cluster: int) -> int:
    """Blocks that run at a time in clusters of that size, one per multiprocessor."""
    if cluster <= 2:
        return gpu.sms // cluster * cluster
    return gpu.sms * 10 // 11 // cluster * cluster


def unit_columns(group: int) -> int:
    """Columns of a unit: 64 for groups of 4 weights (FP4.25), 48 for 3 (FP5.33)."""
    return 16 * group


def units_of(group: int, columns: int) -> int:
    """Units of a row, whole steps: FP4.25 stores four together."""
    step = 4 if group == 4 else 1
    return ceil_div(columns, unit_columns(group) * step) * step


def slice_of(units: int, splits: int, step: int) -> int:
    """Units of a slice of K in whole steps, 0 where a slice would be empty."""
    steps = ceil_div(units, step)
    length = ceil_div(steps, splits)
    return length * step if (splits - 1) * length < steps else 0


def row_stride(group: int, units: int) -> int:
    """Bytes between rows of activations in shared memory."""
    return ceil_div(32 * group * units, 128) * 128 + (16 if group == 4 else 32)


def column_tiles(batch: int) -> int:
    """Column tiles of the smallest kernel that takes the batch: 1, 2, 4 or 8."""
    tiles = 1
    while 8 * tiles < batch:
        tiles *= 2
    return tiles


def try_gemv(
    gpu: Gpu, group: int, rows: int, columns: int, batch: int, shape: tuple, splits: int
) -> Plan:
    """A GEMV with one of the block shapes above."""
    threads, resident, per_sm, team, depth = shape
    tiles, x_tiles = ceil_div(rows, TILE_ROWS), column_tiles(batch)
    n = slice_of(units_of(group, columns), splits, 4 if group == 4 else 1)
    if n == 0 or (n < 4 * team and team > 1):
        return NO_PLAN
    teams, slot_bytes = threads // 32 // team, x_tiles * SLOT_BYTES
    burst_bytes = BURST * UNIT_BYTES + (TAIL_BYTES if group == 4 else 0)
    room = gpu.shared_bytes // resident - (STATIC_BYTES if resident > 1 else 0)
    x_bytes = batch * row_stride(group, n)
    room -= x_bytes + teams * team * (slot_bytes + depth * burst_bytes)
    most_tiles = room // (team * slot_bytes + 128)
    if most_tiles < 1:
        return NO_PLAN
    clusters = max(1, running(gpu, splits) * per_sm // splits)
    waves = ceil_div(tiles, clusters * most_tiles)
    blocks = min(tiles, clusters * waves)
    block_tiles = ceil_div(tiles, blocks)
    share = ceil_div(block_tiles * n, teams)
    if team > 1 or group == 4:
        share = ceil_div(share, 4) * 4
    if block_tiles * n * n >= 2**32 or blocks >= 2**16:
        return NO_PLAN
    slots = max(1, running(gpu, splits) * resident // splits) * splits
    loads, units = BURST * max(1, depth), share * teams
    good = waves <= 2 and x_bytes <= MOST_ACTIVATION_BYTES
    return Plan(GEMV, splits, blocks, threads // 32, slots, units, n, 8 * x_tiles, loads, good)


def try_gemm(
    gpu: Gpu, group: int, rows: int, columns: int, batch: int, warps: int, splits: int
) -> Plan:
    """A GEMM by warp."""
    tiles = column_tiles(batch)
    n = slice_of(units_of(group, columns), splits, STEP)
    fragments = WARP_TILES * warps * tiles
    buffer_bytes = 8 * tiles * row_stride(group, STEP)
    shared = warps * 256 + max(2 * buffer_bytes, fragments * SLOT_BYTES)
    blocks = ceil_div(ceil_div(rows, TILE_ROWS), WARP_TILES * warps)
    pieces_fit = ceil_div(tiles * 4, warps) <= STEP
    slots = running(gpu, splits)
    fits = shared <= gpu.shared_bytes and pieces_fit and blocks < 2**16
    if n == 0 or slots == 0 or not fits:
        return NO_PLAN
    units = WARP_TILES * warps * n
    return Plan(GEMM, splits, blocks, warps, slots, units, n, 8 * tiles, 2 * STEP, True)


def try_warpgroup(
    gpu: Gpu, group: int, rows: int, columns: int, batch: int, shape: tuple, splits: int
) -> Plan:
    """A GEMM by warpgroup whose blocks have ``shape``: warps, groups of them that share K."""
    warps, groups = shape
    tiles, mates, round_units = column_tiles(batch), warps // groups, STEP * groups
    n = slice_of(units_of(group, columns), splits, round_units)
    raw_stride = 2 * unit_columns(group) + (16 if group == 4 else 0)
    raw_bytes = 8 * raw_stride * ceil_div(tiles * round_units, warps) * warps
    round_bytes = round_units * 16 * unit_columns(group) * tiles
    sums_bytes = 2 * warps * tiles * SLOT_BYTES
    shared = mates * 256 + max(2 * round_bytes + raw_bytes, sums_bytes)
    row_tiles, most = ceil_div(rows, TILE_ROWS), WARP_TILES * mates
    clusters = running(gpu, splits) // splits
    if n == 0 or shared > gpu.shared_bytes or clusters == 0:
        return NO_PLAN
    rounds = ceil_div(row_tiles, most * clusters)
    block_tiles = min(most, ceil_div(row_tiles, rounds * clusters))
    blocks = ceil_div(row_tiles, block_tiles)
    if blocks >= 2**16:
        return NO_PLAN
    units = most * ceil_div(n, round_units) * round_units
    slots = running(gpu, splits)
    return Plan(WARPGROUP, splits, blocks, warps, slots, units, n, 8 * tiles, 2 * STEP, True)


def same_plan(batch: int, other: int) -> bool:
    """Whether two batches of one layer certainly take the same plan: only GEMV counts columns."""
    if batch <= GEMV_BATCH or other <= GEMV_BATCH:
        return batch == other
    return column_tiles(min(batch, GEMM_BATCH)) == column_tiles(min(other, GEMM_BATCH))


def plan(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> Plan:
    """The launch of a product with 1 to `GEMM_BATCH` columns of x."""
    found = NO_PLAN
    if better_by_warpgroup(gpu, group, rows, columns, batch):
        found = best_warpgroup(gpu, group, rows, columns, batch)
    elif batch <= GEMV_BATCH and not better_by_gemm(gpu, group, rows, columns, batch):
        found = best_gemv(gpu, group, rows, columns, batch)
    return found if found.kernel > 0 else best_gemm(gpu, group, rows, columns, batch)


def better_by_warpgroup(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> bool:
    """Whether warpgroups pay."""
    if gpu.capability != 90 or batch <= 4:
        return False
    if batch > 16:
        return rows > 5120
    if rows * columns < 2**27 or rows < 8192:
        return False
    if batch > 8:
        return group == 3 or columns > 8192
    return columns > (20000 if group == 4 else 16000)


def better_by_gemm(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> bool:
    """Whether staging all activations in every block costs more than sharing K."""
    if gpu.capability < 90 or batch <= 4:
        return batch > 8
    if batch > 8:
        return group == 3 or rows < 8192 or columns > 8192
    return columns > 20000 if group == 4 else not 16384 < rows <= 32768


def best_gemv(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> Plan:
    """The first block shape, with the fewest slices, that is good, or else that fits."""
    first, splits = NO_PLAN, 1
    while splits <= (4 if gpu.capability >= 90 else 1):
        for shape in gemv_shapes(gpu, group, rows, columns, batch):
            found = try_gemv(gpu, group, rows, columns, batch, shape, splits)
            if found.good:
                return found
            if first.kernel == 0:
                first = found
        splits *= 2
    return first


def gemv_shapes(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> tuple:
    """Block shapes in the order of preference, four of them; the last may come again."""
    tiles, long = ceil_div(rows, TILE_ROWS), columns > 16000
    if batch > 2:
        few = tiles <= 8 * gpu.sms and not (long and tiles >= 512)
        narrow = group == 4 and (few or batch > 8)
        return (ONE, WIDE, WIDE, WIDE) if narrow else (WIDE, ONE, ONE, ONE)
    slots = 2 * gpu.sms
    if rows * columns < 2**25:
        first = SMALL if tiles <= slots else ONE if group == 4 else TWO
        return first, WIDE, ONE, ONE
    if group == 4:
        return (RING, ONE, WIDE, WIDE) if long else (PAIRED_RING, RING, ONE, WIDE)
    if long or tiles < 0.9 * slots * ceil_div(tiles, slots):
        return WIDE_IN_TEAMS if long else WIDE, ONE, ONE, ONE
    return (TWO_RINGS, TWO, WIDE, ONE) if tiles >= 1000 else (TWO, WIDE, ONE, ONE)


def best_warpgroup(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> Plan:
    """The launch by warpgroup that the least time is expected of."""
    best, least = NO_PLAN, 0.0
    for splits in (1, 2, 4):
        for shape in WARPGROUP_SHAPES:
            found = try_warpgroup(gpu, group, rows, columns, batch, shape, splits)
            if found.kernel > 0:
                cost = warpgroup_cost(gpu, found, shape[1])
                tied = cost == least and found.warps < best.warps
                if best.kernel == 0 or cost < least or tied:
                    best, least = found, cost
    return best


def warpgroup_cost(gpu: Gpu, found: Plan, groups: int) -> float:
    """Relative time: waves of blocks times their rounds; to start and to add up cost 5 rounds."""
    waves = ceil_div(found.splits * found.blocks, running(gpu, found.splits))
    rounds = ceil_div(found.slice_units, STEP * groups)
    per_round = 6.0 * groups if found.columns == 64 else 2.0 * groups + 0.5
    work = rounds * (found.warps + per_round)
    return waves * (work + 5.0 + 5.0 * (found.splits > 1))


def best_gemm(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> Plan:
    """The launch by warp that the least time is expected of."""
    best, least = NO_PLAN, 0
    splits = 1
    while splits <= (8 if gpu.capability >= 90 else 1):
        for warps in GEMM_WARPS:
            found = try_gemm(gpu, group, rows, columns, batch, warps, splits)
            allowed = column_tiles(batch) < 8 or warps in WIDE_GEMM_WARPS
            if found.kernel > 0 and allowed:
                waves = ceil_div(splits * found.blocks, running(gpu, splits))
                together = 200 if found.columns == 64 else 100 + 10 * splits
                cost = waves * (found.slice_units * max(8, warps) + together * (splits > 1))
                tied = cost == least and warps > best.warps
                if best.kernel == 0 or cost < least or tied:
                    best, least = found, cost
        splits *= 2
    return best if best.kernel > 0 else without_limits(gpu, group, rows, columns, batch)


def without_limits(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> Plan:
    """What a GPU whose shared memory is too small for any launch would have to run."""
    blocks = ceil_div(ceil_div(rows, TILE_ROWS), WARP_TILES * 8)
    n = slice_of(units_of(group, columns), 1, STEP)
    units, x_columns = WARP_TILES * 8 * n, 8 * column_tiles(batch)
    return Plan(GEMM, 1, blocks, 8, gpu.sms, units, n, x_columns, 2 * STEP, True)
