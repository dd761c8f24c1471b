"""What a launch of each kernel looks like for given choices, and whether it fits the GPU.

A *group* is the weights that share a bit in a kernel form: 4 for FP4.25, 3 for FP5.33. A *unit* is
16 rows x 16 groups of columns, 512 bytes of words; four of them along a row are a *burst*, and rows
are padded to whole bursts. Sizes named here are those of the kernels.
"""

from __future__ import annotations

from typing import NamedTuple

#: What `Plan.kernel` may be; 0 is no launch at all.
GEMV, GEMM, WARPGROUP, STREAM = 1, 2, 3, 4
TILE_ROWS, UNIT_BYTES = 16, 512
BURST, TAIL_BYTES = 4, 128  # units that a warp takes at a time; FP4.25's shared bits of them
STEP, WARP_TILES = BURST, 2  # of the GEMM: units between barriers, row tiles of a warp
STREAM_BUFFERS, BARRIER_BYTES = 3, 8  # of the stream, each buffer with a barrier
SLOT_BYTES = 512  # the sums of a row tile and a column tile: 16 x 8 float32
ROW_BYTES = 8 * TILE_ROWS  # scales and bias of a row tile
STATIC_BYTES = 1024  # of shared memory that each block takes for itself
MOST_ACTIVATION_BYTES = 180_000  # that a block of the GEMV should bring


class Gpu(NamedTuple):
    """What a plan needs to know of a GPU; ``capability`` is ten times CUDA's."""

    sms: int
    shared_bytes: int
    capability: int


class Shape(NamedTuple):
    """The blocks of a GEMV."""

    threads: int
    resident: int  # blocks for which a multiprocessor has room
    blocks: int  # blocks of a grid for each multiprocessor
    team: int  # warps that take turns
    depth: int  # bursts in a ring in shared memory, 0 for one burst in registers


class StreamPlaces(NamedTuple):
    """Where things lie in the shared memory of a block of the stream; weights come first."""

    raw: int  # activations as they come
    buffers: int  # in order, for all warps
    rows: int  # scales and bias
    barriers: int  # of the buffers
    end: int


class Plan(NamedTuple):
    """One launch."""

    kernel: int  # GEMV, GEMM, WARPGROUP or STREAM; 0 where the choices do not fit
    splits: int  # blocks of a cluster, which share K
    blocks: int  # ranges of row tiles
    warps: int
    slots: int  # blocks that run at a time
    units: int  # that the warps of a block multiply, those past the end included
    slice_units: int  # along K
    columns: int  # of x that are multiplied at once, in eights
    loads: int  # units that a warp keeps requested
    good: bool  # whether a GEMV brings activations seldom, and not too many
    shared_bytes: int
    block_tiles: int  # row tiles of a block; of a GEMV's first blocks, others may have one less
    groups: int  # parts of a block of warpgroups that share K
    resident: int
    team: int
    depth: int


NO_PLAN = Plan(0, 0, 0, 0, 0, 0, 0, 0, 0, False, 0, 0, 0, 0, 0, 0)


def ceil_div(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)


def even_parts(total: int, parts: int) -> tuple[int, int]:
    """(size of the larger parts, how many of them there are); the others are one smaller."""
    most = ceil_div(total, parts)
    return most, total - parts * (most - 1)


def running(gpu: Gpu, cluster: int) -> int:
    """Blocks that run at a time in clusters of that size, one per multiprocessor.

    A cluster lies inside a GPC, and these have odd multiprocessors: of an H200's 132, clusters of 4
    or 8 reach 120 (cuOccupancyMaxActiveClusters).
    """
    if cluster <= 2:
        return gpu.sms // cluster * cluster
    return gpu.sms * 10 // 11 // cluster * cluster


def unit_columns(group: int) -> int:
    """Columns of a unit: 64 for FP4.25, 48 for FP5.33."""
    return 16 * group


def units_of(group: int, columns: int) -> int:
    """Units of a row, whole bursts."""
    return ceil_div(columns, unit_columns(group) * BURST) * BURST


def slice_of(units: int, splits: int, step: int) -> int:
    """Units of a slice of K in whole steps, 0 where a slice would be empty."""
    steps = ceil_div(units, step)
    length = ceil_div(steps, splits)
    return length * step if (splits - 1) * length < steps else 0


def column_tiles(batch: int) -> int:
    """Column tiles of 8 of the smallest kernel that takes the batch: 1, 2, 4 or 8."""
    tiles = 1
    while 8 * tiles < batch:
        tiles *= 2
    return tiles


def row_stride(group: int, units: int) -> int:
    """Bytes between rows of activations in shared memory such that lanes meet no bank twice."""
    return ceil_div(32 * group * units, 128) * 128 + (16 if group == 4 else 32)


def burst_bytes(group: int) -> int:
    """Bytes of a burst, FP4.25's shared bits included."""
    return BURST * UNIT_BYTES + (TAIL_BYTES if group == 4 else 0)


def run_columns(group: int) -> int:
    """Columns of activations that a warp of the GEMV brings at a time, 16 bytes per lane and load:
    whole pieces of 16 or 12 columns for each lane."""
    return 512 if group == 4 else 768


def buffer_bytes(group: int, tiles: int) -> int:
    """Bytes of one of the GEMM's two buffers of activations, for ``tiles`` column tiles."""
    return 8 * tiles * row_stride(group, STEP)


def raw_stride(group: int) -> int:
    """Bytes between rows of activations as they are copied, without bank conflicts."""
    return 2 * unit_columns(group) + (16 if group == 4 else 0)


def tasks_of(tiles: int, warps: int, groups: int) -> int:
    """Tasks per warp and round in which each of ``groups`` multiplies a burst.

    A task is a unit of eight rows of activations, or of all rows where ``tiles`` is 1 (the stream).
    """
    return ceil_div(tiles * STEP * groups, warps)


def raw_bytes(group: int, tiles: int, warps: int, groups: int) -> int:
    """Bytes where the warps of a block put activations as they come."""
    return 8 * raw_stride(group) * tasks_of(tiles, warps, groups) * warps


def round_bytes(group: int, tiles: int, groups: int) -> int:
    """Bytes of one of the warpgroups' two buffers of activations."""
    return STEP * groups * 16 * unit_columns(group) * tiles


def chunk_bytes(group: int, team: int, tiles: int) -> int:
    """Bytes of one of the stream's buffers of activations, for ``tiles`` column tiles."""
    return 8 * tiles * row_stride(group, BURST * team)


def raw_bytes_of_warp(group: int, tiles: int, warps: int, team: int) -> int:
    """Bytes where a warp of the stream puts its part of a chunk as it comes."""
    return 8 * tiles * raw_stride(group) * tasks_of(1, warps, team)


def stream_places(group: int, tiles: int, warps: int, team: int, depth: int) -> StreamPlaces:
    """Where things lie in a block of the stream."""
    raw = depth * warps * burst_bytes(group)
    carriers = min(warps, BURST * team)  # warps that have a part of each chunk
    buffers = raw + depth * carriers * raw_bytes_of_warp(group, tiles, warps, team)
    rows = buffers + STREAM_BUFFERS * chunk_bytes(group, team, tiles)
    barriers = rows + warps // team * ROW_BYTES
    return StreamPlaces(raw, buffers, rows, barriers, barriers + STREAM_BUFFERS * BARRIER_BYTES)


def try_gemv(
    gpu: Gpu, group: int, rows: int, columns: int, batch: int, shape: Shape, splits: int
) -> Plan:
    """A GEMV with blocks of a shape.

    It is good where at most two waves of blocks bring the activations, and none brings too many:
    else K is better shared, or another shape better taken (H200 and H100).
    """
    tiles, x_tiles = ceil_div(rows, TILE_ROWS), column_tiles(batch)
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
    if units * max(n, share) >= 2**32 or blocks >= 2**16:
        return NO_PLAN
    slots = max(1, running(gpu, splits) * shape.resident // splits) * splits
    loads = BURST * max(1, shape.depth)
    good = waves <= 2 and x_bytes <= MOST_ACTIVATION_BYTES
    shared = fixed_bytes + block_tiles * (ROW_BYTES + team * slot_bytes)
    return Plan(
        GEMV, splits, blocks, shape.threads // 32, slots, units, n, 8 * x_tiles, loads, good,
        shared, block_tiles, 1, shape.resident, team, shape.depth,
    )  # fmt: skip


def try_gemm(
    gpu: Gpu, group: int, rows: int, columns: int, batch: int, warps: int, splits: int
) -> Plan:
    """A GEMM by warp."""
    tiles, block_tiles = column_tiles(batch), WARP_TILES * warps
    n = slice_of(units_of(group, columns), splits, STEP)
    fragments = block_tiles * tiles
    shared = block_tiles * ROW_BYTES + max(2 * buffer_bytes(group, tiles), fragments * SLOT_BYTES)
    blocks = ceil_div(ceil_div(rows, TILE_ROWS), block_tiles)
    pieces_fit = ceil_div(tiles * 4, warps) <= STEP
    slots = running(gpu, splits)
    fits = shared <= gpu.shared_bytes and pieces_fit and blocks < 2**16
    if n == 0 or slots == 0 or not fits:
        return NO_PLAN
    return Plan(
        GEMM, splits, blocks, warps, slots, block_tiles * n, n, 8 * tiles, 2 * STEP, False,
        shared, block_tiles, 1, 1, 1, 0,
    )  # fmt: skip


def try_warpgroup(
    gpu: Gpu, group: int, rows: int, columns: int, batch: int, shape: tuple, splits: int
) -> Plan:
    """A GEMM by warpgroup whose blocks have ``shape``: warps, groups of them that share K."""
    warps, groups = shape
    tiles, mates, round_units = column_tiles(batch), warps // groups, STEP * groups
    n = slice_of(units_of(group, columns), splits, round_units)
    work = 2 * round_bytes(group, tiles, groups) + raw_bytes(group, tiles, warps, groups)
    most = WARP_TILES * mates
    shared = most * ROW_BYTES + max(work, WARP_TILES * warps * tiles * SLOT_BYTES)
    row_tiles, clusters = ceil_div(rows, TILE_ROWS), running(gpu, splits) // splits
    if n == 0 or shared > gpu.shared_bytes or clusters == 0:
        return NO_PLAN
    rounds = ceil_div(row_tiles, most * clusters)
    block_tiles = min(most, ceil_div(row_tiles, rounds * clusters))
    blocks = ceil_div(row_tiles, block_tiles)
    if blocks >= 2**16:
        return NO_PLAN
    units, slots = most * ceil_div(n, round_units) * round_units, running(gpu, splits)
    return Plan(
        WARPGROUP, splits, blocks, warps, slots, units, n, 8 * tiles, 2 * STEP, False,
        shared, block_tiles, groups, 1, 1, 0,
    )  # fmt: skip


def try_stream(
    gpu: Gpu, group: int, rows: int, columns: int, batch: int, warps: int, depth: int, splits: int
) -> Plan:
    """A stream whose blocks have at most so many warps, in teams as large as fit."""
    tiles, clusters = ceil_div(rows, TILE_ROWS), running(gpu, splits) // splits
    x_tiles, n = column_tiles(batch), slice_of(units_of(group, columns), splits, BURST)
    if n == 0 or clusters == 0 or x_tiles > 2:
        return NO_PLAN
    blocks = min(tiles, clusters * ceil_div(tiles, clusters * warps))
    block_tiles = ceil_div(tiles, blocks)
    team = warps // block_tiles
    room = gpu.shared_bytes
    while team > 1 and stream_places(group, x_tiles, team * block_tiles, team, depth).end > room:
        team -= 1
    warps, slots = team * block_tiles, running(gpu, splits)
    shared = stream_places(group, x_tiles, warps, team, depth).end
    if shared > room or blocks >= 2**16:
        return NO_PLAN
    units = ceil_div(n, BURST * team) * BURST * warps
    return Plan(
        STREAM, splits, blocks, warps, slots, units, n, 8 * x_tiles, BURST * depth, False,
        shared, block_tiles, 1, 1, team, depth,
    )  # fmt: skip
