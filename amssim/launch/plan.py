"""Which kernel with which grid serves a product of a given shape.

The rules and costs are fits to measurements on an H200, and on an H100 where it is said
(docs/KERNELS.md).
"""

from __future__ import annotations

from amssim.launch.grids import (
    NO_PLAN,
    STEP,
    TILE_ROWS,
    Gpu,
    Plan,
    Shape,
    ceil_div,
    column_tiles,
    running,
    try_gemm,
    try_gemv,
    try_stream,
    try_warpgroup,
)

GEMV_BATCH, GEMM_BATCH = 16, 64
#: Block shapes of the GEMV. Weights in registers:
ONE = Shape(threads=512, resident=1, blocks=1, team=1, depth=0)
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
#: Most warps of the stream's blocks, and where teams of two would leave half of them out.
STREAM_WARPS, STREAM_MOST_WARPS = 16, 20
#: Warps of a block of the GEMM, and with 64 columns; (warps, groups) of the warpgroups.
GEMM_WARPS, WIDE_GEMM_WARPS = (16, 14, 12, 10, 8, 6), (12, 8)
WARPGROUP_SHAPES = ((8, 1), (8, 2), (12, 1), (12, 3), (16, 1), (16, 2), (16, 4))


def same_plan(batch: int, other: int) -> bool:
    """Whether two batches of one layer certainly take the same plan: only GEMV counts columns."""
    if batch <= GEMV_BATCH or other <= GEMV_BATCH:
        return batch == other
    return column_tiles(min(batch, GEMM_BATCH)) == column_tiles(min(other, GEMM_BATCH))


def plan(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> Plan:
    """The launch of a product with 1 to `GEMM_BATCH` columns of x."""
    found = NO_PLAN
    if better_by_stream(gpu, group, rows, columns, batch):
        found = best_stream(gpu, group, rows, columns, batch)
    if found.kernel == 0 and better_by_warpgroup(gpu, group, rows, columns, batch):
        found = best_warpgroup(gpu, group, rows, columns, batch)
    by_gemm = batch > GEMV_BATCH or better_by_gemm(gpu, group, rows, columns, batch)
    if found.kernel == 0 and not by_gemm:
        found = best_gemv(gpu, group, rows, columns, batch)
    return found if found.kernel > 0 else best_gemm(gpu, group, rows, columns, batch)


def better_by_stream(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> bool:
    """Whether a stream of activations pays: where a block would wait for them for long.

    FP5.33 takes longer per byte of activations, which counts with 9 columns and more.
    """
    if gpu.capability < 90 or not 3 <= batch <= GEMV_BATCH:
        return False
    tiles = stream_tiles(gpu, rows)
    if group == 4:
        many = batch > 8 and 16 < tiles <= 24 and columns >= 4096
        return many or (columns >= 5120 and tiles <= 16)
    if batch > 8:
        return 5120 <= columns <= 16000 and (tiles == 4 or tiles == 8)
    if columns > (16000 if batch <= 4 else 12000):
        return tiles <= 16
    return batch > 4 and columns > 6000 and tiles <= 8


def stream_tiles(gpu: Gpu, rows: int) -> int:
    """Row tiles of a cluster of two where all clusters run at a time."""
    return ceil_div(ceil_div(rows, TILE_ROWS), running(gpu, 2) // 2)


def best_stream(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> Plan:
    """The launch with K in two parts."""
    uneven = 9 <= stream_tiles(gpu, rows) <= 10
    warps = STREAM_MOST_WARPS if uneven else STREAM_WARPS
    depth = stream_depth(group, batch)
    return try_stream(gpu, group, rows, columns, batch, warps, depth, 2)


def stream_depth(group: int, batch: int) -> int:
    """Bursts of weights, and parts of chunks, that a warp of the stream keeps on their way."""
    return 3 if group == 3 and batch <= 8 else 2


def better_by_warpgroup(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> bool:
    """Whether warpgroups pay: above 16 columns, and below in large layers."""
    if gpu.capability != 90 or batch <= 4:
        return False
    if batch > 16:
        return rows >= 4096
    if rows * columns < 2**27 or rows < 8192:
        return False
    if group == 3:
        return columns > 16000
    return columns > (8192 if batch > 8 else 20000)


def better_by_gemm(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> bool:
    """Whether staging all activations in every block costs more than sharing K."""
    if gpu.capability < 90 or batch <= 4:
        return batch > 8
    if group == 4:
        return (rows < 8192 or columns > 8192) if batch > 8 else columns > 20000
    return (rows < 28672 or columns > 6000) if batch > 8 else columns > 6000


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
    small = rows * columns < 2**25
    if batch > 8:
        return (ONE, WIDE, WIDE, WIDE) if group == 4 else (WIDE, ONE, ONE, ONE)
    if batch > 2:
        return (ONE, WIDE, WIDE, WIDE) if small else (RING, WIDE, ONE, ONE)
    tiles, slots, long = ceil_div(rows, TILE_ROWS), 2 * gpu.sms, columns > 20000
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


def best_warpgroup(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> Plan:
    """The launch by warpgroup that the least time is expected of."""
    best, least = NO_PLAN, 0.0
    for splits in (1, 2, 4, 8):
        for shape in WARPGROUP_SHAPES:
            found = try_warpgroup(gpu, group, rows, columns, batch, shape, splits)
            if found.kernel > 0:
                cost = warpgroup_cost(gpu, found)
                tied = cost == least and found.warps < best.warps
                if best.kernel == 0 or cost < least or tied:
                    best, least = found, cost
    return best


def warpgroup_cost(gpu: Gpu, found: Plan) -> float:
    """Relative time: waves of blocks times their rounds; to start and to add up cost 5 rounds.

    More groups mean more rows of blocks that each bring all activations, which counts most in wide
    kernels. Within 0.5 % of the best measured shape on average, 6 % at worst, over 38 products of
    up to four blocks; for eight to add up 64 columns costs 17.
    """
    waves = ceil_div(found.splits * found.blocks, running(gpu, found.splits))
    rounds = ceil_div(found.slice_units, STEP * found.groups)
    per_round = 6.0 * found.groups if found.columns == 64 else 2.0 * found.groups + 0.5
    work = rounds * (found.warps + per_round)
    together = 17.0 if found.splits == 8 and found.columns == 64 else 5.0 * (found.splits > 1)
    return waves * (work + 5.0 + together)


def best_gemm(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> Plan:
    """The launch by warp that the least time is expected of."""
    best, least = NO_PLAN, 0
    splits = 1
    while splits <= (8 if gpu.capability >= 90 else 1):
        for warps in GEMM_WARPS:
            found = try_gemm(gpu, group, rows, columns, batch, warps, splits)
            allowed = column_tiles(batch) < 8 or warps in WIDE_GEMM_WARPS
            if found.kernel > 0 and allowed:
                cost = gemm_cost(gpu, found)
                tied = cost == least and warps > best.warps
                if best.kernel == 0 or cost < least or tied:
                    best, least = found, cost
        splits *= 2
    return best if best.kernel > 0 else without_limits(gpu, group, rows, columns, batch)


def gemm_cost(gpu: Gpu, found: Plan) -> int:
    """Relative time: waves of blocks times their units, and adding up a cluster of n blocks.

    That costs 200 with 64 columns, else 100 + 10 n. Fewer than 8 warps do not hide how long a step
    takes. Up to 32 columns it is within 0.4 % of the best measured shape on average, 7 % at worst,
    over 84 products (H100).
    """
    waves = ceil_div(found.splits * found.blocks, running(gpu, found.splits))
    together = 200 if found.columns == 64 else 100 + 10 * found.splits
    return waves * (found.slice_units * max(8, found.warps) + together * (found.splits > 1))


def without_limits(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> Plan:
    """What a GPU whose shared memory is too small for any launch would have to run."""
    boundless = Gpu(max(1, gpu.sms), 2**30, 80)
    return try_gemm(boundless, group, rows, columns, batch, 16, 1)
