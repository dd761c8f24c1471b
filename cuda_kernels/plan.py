"""Which kernel with which grid serves a product of a given shape. Pure arithmetic, no GPU."""

from dataclasses import dataclass
from functools import lru_cache

from cuda_kernels.add_up import SLOT_BYTES
from cuda_kernels.forms import Form
from cuda_kernels.gemm import STEP, WARP_TILES, tile_bytes
from cuda_kernels.stage import row_stride
from cuda_kernels.warpgroup import raw_bytes, round_bytes

GEMV_BATCH = 8
GEMM_BATCH = 64
STATIC_BYTES = 1024  # of shared memory that each block takes for itself


@dataclass(frozen=True)
class Gpu:
    """What a plan needs to know of a GPU."""

    multiprocessors: int
    shared_bytes: int
    capability: tuple[int, int]

    @property
    def hopper(self) -> bool:
        """Whether it has clusters and early launch."""
        return self.capability >= (9, 0)

    @property
    def warpgroups(self) -> bool:
        """Whether it multiplies by warpgroup: wgmma exists on compute capability 9.0 alone."""
        return self.capability == (9, 0)

    def blocks(self, cluster: int) -> int:
        """Blocks that run at a time in clusters of that size, one per multiprocessor.

        A cluster lies inside a GPC, and these have odd multiprocessors: of an H200's 132,
        clusters of 4 or 8 reach 120 (cuOccupancyMaxActiveClusters).
        """
        if cluster <= 2:
            return self.multiprocessors // cluster * cluster
        return self.multiprocessors * 10 // 11 // cluster * cluster


@dataclass(frozen=True)
class GemvPlan:
    """A launch of `cuda_kernels.gemv`; its fields are that kernel's arguments and options."""

    threads: int
    resident: int
    team: int
    grid: tuple[int, int]
    cluster_tiles: int
    slice_units: int
    share: int
    stride: int
    shared_bytes: int

    @property
    def shift(self) -> int:
        """2^shift is at least the pieces of a row of activations."""
        return (4 * self.slice_units - 1).bit_length()

    @property
    def per_tile(self) -> int:
        """2^32 / slice_units, rounded up: the kernel divides by multiplying."""
        return -(-(2**32) // self.slice_units)


@dataclass(frozen=True)
class GemmPlan:
    """A launch of `cuda_kernels.gemm`; its fields are that kernel's arguments and options."""

    columns: int
    warps: int
    grid: tuple[int, int]
    slice_units: int
    shared_bytes: int


@dataclass(frozen=True)
class WarpgroupPlan:
    """A launch of `cuda_kernels.warpgroup`; its fields are that kernel's arguments and options."""

    columns: int
    warps: int
    groups: int
    grid: tuple[int, int]
    slice_units: int
    block_tiles: int
    shared_bytes: int


def ceil_div(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)


def slice_of(form: Form, units: int, splits: int, step: int) -> int | None:
    """Units of a slice of K in whole steps, or None where a slice would be empty."""
    steps = ceil_div(units, step)
    length = ceil_div(steps, splits)
    return length * step if (splits - 1) * length < steps else None


def try_gemv(
    form: Form, rows: int, columns: int, batch: int, gpu: Gpu,
    *, threads: int, resident: int, team: int, splits: int = 1,
) -> GemvPlan | None:  # fmt: skip
    """Return the plan with these choices, or None where it does not fit."""
    units, tiles = form.units(columns), form.tiles(rows)
    n = slice_of(form, units, splits, form.step)
    if n is None or (n < 4 * team and team > 1):
        return None
    stride, teams = row_stride(form, n), threads // 32 // team
    room = gpu.shared_bytes // resident - STATIC_BYTES * (resident > 1)
    room -= batch * stride + teams * team * SLOT_BYTES
    most_tiles = room // (team * SLOT_BYTES + 128)
    if most_tiles < 1:
        return None
    clusters = max(1, gpu.blocks(splits) * resident // splits)
    waves = ceil_div(tiles, clusters * most_tiles)
    cluster_tiles = ceil_div(tiles, clusters * waves)
    grid = (splits, ceil_div(tiles, cluster_tiles))
    share = ceil_div(cluster_tiles * n, teams)
    if team > 1 or form.has_tails:
        share = ceil_div(share, 4) * 4
    shared = batch * stride + cluster_tiles * 128 + (teams + cluster_tiles) * team * SLOT_BYTES
    exact = cluster_tiles * n * n < 2**32 and grid[1] < 2**16
    plan = GemvPlan(threads, resident, team, grid, cluster_tiles, n, share, stride, shared)
    return plan if exact else None


def try_gemm(form: Form, rows: int, columns: int, batch: int, gpu: Gpu, *, warps: int,
             splits: int) -> GemmPlan | None:  # fmt: skip
    """Return the plan with these choices, or None where it does not fit."""
    column_tiles = column_tiles_of(batch)
    n = slice_of(form, form.units(columns), splits, STEP)
    fragments = WARP_TILES * warps * column_tiles
    shared = warps * 256 + max(2 * tile_bytes(form, column_tiles), fragments * SLOT_BYTES)
    blocks = ceil_div(form.tiles(rows), WARP_TILES * warps)
    pieces_fit = ceil_div(column_tiles * 4, warps) <= STEP
    if n is None or shared > gpu.shared_bytes or not pieces_fit or blocks >= 2**16:
        return None
    return GemmPlan(column_tiles, warps, (splits, blocks), n, shared)


def try_warpgroup(form: Form, rows: int, columns: int, batch: int, gpu: Gpu, *, warps: int,
                  groups: int, splits: int) -> WarpgroupPlan | None:  # fmt: skip
    """Return the plan with these choices, or None where it does not fit."""
    column_tiles, mates = column_tiles_of(batch), warps // groups
    n = slice_of(form, form.units(columns), splits, STEP * groups)
    work = 2 * round_bytes(form, column_tiles, groups) + raw_bytes(
        form, column_tiles, warps, groups
    )
    shared = mates * 256 + max(work, 2 * warps * column_tiles * SLOT_BYTES)
    tiles, most = form.tiles(rows), WARP_TILES * mates
    clusters = gpu.blocks(splits) // splits
    rounds = ceil_div(tiles, most * clusters)
    block_tiles = min(most, ceil_div(tiles, rounds * clusters))
    blocks = ceil_div(tiles, block_tiles)
    if n is None or shared > gpu.shared_bytes or blocks >= 2**16:
        return None
    grid = (splits, blocks)
    return WarpgroupPlan(column_tiles, warps, groups, grid, n, block_tiles, shared)


def column_tiles_of(batch: int) -> int:
    """Column tiles of the smallest kernel that takes the batch: 1, 2, 4 or 8."""
    return next(n for n in (1, 2, 4, 8) if 8 * n >= batch)


@lru_cache(maxsize=4096)
def plan(
    form: Form, rows: int, columns: int, batch: int, gpu: Gpu
) -> GemvPlan | GemmPlan | WarpgroupPlan:
    """Choose the launch of a product with 1 to `GEMM_BATCH` rows of activations."""
    if better_by_warpgroup(form, rows * columns, columns, batch, gpu):
        found = best_warpgroup(form, rows, columns, batch, gpu)
        if found:
            return found
    if batch <= GEMV_BATCH and not better_by_gemm(form, rows, batch, gpu):
        for splits in (1, 2) if gpu.hopper else (1,):
            for shape in gemv_shapes(form, rows, columns, batch, gpu):
                found = try_gemv(form, rows, columns, batch, gpu, splits=splits, **shape)
                if found:
                    return found
    return best_gemm(form, rows, columns, batch, gpu)


def better_by_warpgroup(form: Form, weights: int, columns: int, batch: int, gpu: Gpu) -> bool:
    """Whether warpgroups pay: always from 33 rows on, below only in large layers (H200)."""
    if not gpu.warpgroups or batch <= 4:
        return False
    if batch <= 8:
        return weights >= 2**27 and columns > 20000
    least = 2**26 if batch > 16 else 10**8 if form.has_tails else 2**27
    return batch > 32 or weights >= least


def better_by_gemm(form: Form, rows: int, batch: int, gpu: Gpu) -> bool:
    """Whether staging all activations in every block costs more than sharing K (H200).

    FP5.33's pieces of 24 bytes are slower to stage than FP4.25's of 32.
    """
    return gpu.hopper and not form.has_tails and batch > 4 and 4096 < rows <= 16384


def gemv_shapes(form: Form, rows: int, columns: int, batch: int, gpu: Gpu) -> list[dict]:
    """Block shapes in the order of preference, as measured on an H200."""
    one = {"threads": 512, "resident": 1, "team": 1}
    two, two_in_teams = one | {"resident": 2}, one | {"resident": 2, "team": 4}
    wide = {"threads": 1024, "resident": 1, "team": 1}
    wide_in_teams = wide | {"team": 8}
    tiles, long = form.tiles(rows), columns > 16000
    if batch > 2:
        few = tiles <= 8 * gpu.multiprocessors and not (long and tiles >= 512)
        return [one, wide] if form.has_tails and few else [wide, one]
    if long and tiles >= 512:
        return [wide_in_teams, wide, two, one]
    single = one if form.has_tails else wide
    slots = 2 * gpu.multiprocessors
    uneven = tiles < 0.9 * slots * ceil_div(tiles, slots)
    if uneven or (form.has_tails and tiles <= slots):
        return [single, two, wide]
    return [two_in_teams, two, wide, one] if form.has_tails else [two, wide, one]


def best_warpgroup(form: Form, rows: int, columns: int, batch: int, gpu: Gpu):
    """The `WarpgroupPlan` that the least time is expected of, None where none fits."""
    shapes = ((8, 1), (8, 2), (12, 1), (12, 3), (16, 1), (16, 2), (16, 4))
    found = [
        try_warpgroup(form, rows, columns, batch, gpu, warps=w, groups=g, splits=splits)
        for splits in (1, 2, 4)
        for w, g in shapes
    ]
    return min((p for p in found if p), key=lambda p: warpgroup_cost(p, gpu), default=None)


def warpgroup_cost(found: WarpgroupPlan, gpu: Gpu) -> tuple[float, int]:
    """Relative time: waves of blocks times their rounds; to start and to add up cost 5 rounds.

    More groups mean more rows of blocks that each bring all activations, which counts most in
    wide kernels. Within 0.5 % of the best measured shape on average, 6 % at worst, over 38
    products (H200).
    """
    splits, blocks = found.grid
    waves = ceil_div(splits * blocks, gpu.blocks(splits))
    rounds = ceil_div(found.slice_units, STEP * found.groups)
    per_round = 6 * found.groups if found.columns == 8 else 2 * found.groups + 0.5
    work = rounds * (found.warps + per_round)
    return waves * (work + 5 + 5 * (splits > 1)), found.warps


def best_gemm(form: Form, rows: int, columns: int, batch: int, gpu: Gpu) -> GemmPlan:
    """The block shape that the least time is expected of."""
    shapes = (12, 8) if column_tiles_of(batch) == 8 else (16, 14, 12, 10, 8, 6)
    found = [
        try_gemm(form, rows, columns, batch, gpu, warps=warps, splits=splits)
        for splits in ((1, 2, 4, 8) if gpu.hopper else (1,))
        for warps in shapes
    ]
    return min((p for p in found if p), key=lambda p: (gemm_cost(p, gpu), -p.warps))


def gemm_cost(found: GemmPlan, gpu: Gpu) -> float:
    """Relative time: rounds of blocks times their units; adding up a cluster costs 200.

    Within 1.4 % of the best measured shape on average, 16 % at worst, over 56 products (H200).
    """
    splits, blocks = found.grid
    rounds = ceil_div(splits * blocks, gpu.blocks(splits))
    return rounds * (found.slice_units * found.warps + 200 * (splits > 1))
