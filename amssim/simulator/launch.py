"""Which kernel of ours serves a product, in which blocks: cuda_kernels/plan.py as plain arithmetic.

The plan is stated twice on purpose (docs/decisions/0003): this copy needs neither Numba nor a GPU
for one prediction, and compiles for millions. A test holds the two together, choice by choice.
Nothing here checks its input. All sizes are whole numbers.
"""

from __future__ import annotations

from typing import NamedTuple

#: What `Plan.kernel` may be; 0 is no launch at all.
GEMV, GEMM, WARPGROUP = 1, 2, 3
GEMV_BATCH, GEMM_BATCH = 8, 64
STATIC_BYTES = 1024  # of shared memory that each block takes for itself
SLOT_BYTES = 512  # sums of 16 rows x 8 columns, float32
TILE_ROWS, WARP_TILES, STEP = 16, 2, 4
UNIT_BYTES = 512
#: Loads of a unit that one warp keeps requested: GEMV four, the others four of two row tiles.
GEMV_LOADS, GEMM_LOADS = 4, 8
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


NO_PLAN = Plan(0, 0, 0, 0, 0, 0, 0, 0)


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
    """A GEMV whose blocks have ``shape``: threads, blocks per multiprocessor, warps of a team."""
    threads, resident, team = shape
    tiles = ceil_div(rows, TILE_ROWS)
    n = slice_of(units_of(group, columns), splits, 4 if group == 4 else 1)
    if n == 0 or (n < 4 * team and team > 1):
        return NO_PLAN
    teams = threads // 32 // team
    room = gpu.shared_bytes // resident - (STATIC_BYTES if resident > 1 else 0)
    room -= batch * row_stride(group, n) + teams * team * SLOT_BYTES
    most_tiles = room // (team * SLOT_BYTES + 128)
    if most_tiles < 1:
        return NO_PLAN
    clusters = max(1, running(gpu, splits) * resident // splits)
    waves = ceil_div(tiles, clusters * most_tiles)
    block_tiles = ceil_div(tiles, clusters * waves)
    blocks = ceil_div(tiles, block_tiles)
    share = ceil_div(block_tiles * n, teams)
    if team > 1 or group == 4:
        share = ceil_div(share, 4) * 4
    if block_tiles * n * n >= 2**32 or blocks >= 2**16:
        return NO_PLAN
    slots = clusters * splits
    return Plan(GEMV, splits, blocks, threads // 32, slots, share * teams, n, 8)


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
    return Plan(GEMM, splits, blocks, warps, slots, units, n, 8 * tiles)


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
    return Plan(WARPGROUP, splits, blocks, warps, slots, units, n, 8 * tiles)


def plan(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> Plan:
    """The launch of a product with 1 to `GEMM_BATCH` columns of x."""
    if better_by_warpgroup(gpu, group, rows * columns, columns, batch):
        found = best_warpgroup(gpu, group, rows, columns, batch)
        if found.kernel > 0:
            return found
    if batch <= GEMV_BATCH and not better_by_gemm(gpu, group, rows, batch):
        for splits in (1, 2):
            for shape in gemv_shapes(gpu, group, rows, columns, batch):
                found = try_gemv(gpu, group, rows, columns, batch, shape, splits)
                if found.kernel > 0 and (splits == 1 or gpu.capability >= 90):
                    return found
    return best_gemm(gpu, group, rows, columns, batch)


def better_by_warpgroup(gpu: Gpu, group: int, weights: int, columns: int, batch: int) -> bool:
    """Whether warpgroups pay: always from 33 rows on, below only in large layers."""
    if gpu.capability != 90 or batch <= 4:
        return False
    if batch <= 8:
        return weights >= 2**27 and columns > 20000
    least = 2**26 if batch > 16 else 10**8 if group == 4 else 2**27
    return batch > 32 or weights >= least


def better_by_gemm(gpu: Gpu, group: int, rows: int, batch: int) -> bool:
    """Whether staging all activations in every block costs more than sharing K."""
    return gpu.capability >= 90 and group == 3 and batch > 4 and 4096 < rows <= 16384


def gemv_shapes(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> tuple:
    """Block shapes in the order of preference, four of them."""
    one, two, two_in_teams = (512, 1, 1), (512, 2, 1), (512, 2, 4)
    wide, wide_in_teams = (1024, 1, 1), (1024, 1, 8)
    tiles, long = ceil_div(rows, TILE_ROWS), columns > 16000
    if batch > 2:
        few = tiles <= 8 * gpu.sms and not (long and tiles >= 512)
        return (one, wide, wide, wide) if group == 4 and few else (wide, one, one, one)
    if long and tiles >= 512:
        return wide_in_teams, wide, two, one
    single = one if group == 4 else wide
    slots = 2 * gpu.sms
    uneven = tiles < 0.9 * slots * ceil_div(tiles, slots)
    if uneven or (group == 4 and tiles <= slots):
        return single, two, wide, wide
    return (two_in_teams, two, wide, one) if group == 4 else (two, wide, one, one)


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
                cost = waves * (found.slice_units * warps + 200 * (splits > 1))
                tied = cost == least and warps > best.warps
                if best.kernel == 0 or cost < least or tied:
                    best, least = found, cost
        splits *= 2
    return best if best.kernel > 0 else without_limits(gpu, group, rows, columns, batch)


def without_limits(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> Plan:
    """What a GPU whose shared memory is too small for any launch would have to run."""
    blocks = ceil_div(ceil_div(rows, TILE_ROWS), WARP_TILES * 8)
    n = slice_of(units_of(group, columns), 1, STEP)
    return Plan(GEMM, 1, blocks, 8, gpu.sms, WARP_TILES * 8 * n, n, 8 * column_tiles(batch))
