"""What a launch of each kernel looks like for given choices, and whether it fits the GPU.

Pure arithmetic. `cuda_kernels.plan` makes the choices.
"""

from dataclasses import dataclass

from cuda_kernels.add_up import SLOT_BYTES
from cuda_kernels.feed import burst_bytes
from cuda_kernels.forms import Form
from cuda_kernels.gemm import tile_bytes
from cuda_kernels.pairs import STEP, WARP_TILES
from cuda_kernels.stage import row_stride
from cuda_kernels.warpgroup import raw_bytes, round_bytes

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
    full: int
    slice_units: int
    share: int
    stride: int
    shared_bytes: int
    columns: int
    depth: int
    waves: int

    @property
    def options(self) -> tuple[int, int, int, int, int, bool]:
        """What the kernel is compiled for: threads, resident, team, columns, depth, split."""
        return self.threads, self.resident, self.team, self.columns, self.depth, self.grid[0] > 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """The kernel's last arguments."""
        shift = (4 * self.slice_units - 1).bit_length()
        return (self.cluster_tiles, self.full, self.slice_units, self.share, self.stride, shift)

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
    *, threads: int, resident: int, blocks: int, team: int, depth: int, splits: int = 1,
) -> GemvPlan | None:  # fmt: skip
    """Return the plan with these choices, or None where it does not fit."""
    units, tiles, column_tiles = form.units(columns), form.tiles(rows), column_tiles_of(batch)
    slot_bytes = column_tiles * SLOT_BYTES
    n = slice_of(form, units, splits, form.step)
    if n is None or (n < 4 * team and team > 1):
        return None
    stride, teams = row_stride(form, n), threads // 32 // team
    room = gpu.shared_bytes // resident - STATIC_BYTES * (resident > 1)
    fixed = batch * stride + teams * team * slot_bytes
    fixed += teams * team * depth * burst_bytes(form)
    room -= fixed
    most_tiles = room // (team * slot_bytes + 128)
    if most_tiles < 1:
        return None
    clusters = max(1, gpu.blocks(splits) * blocks // splits)
    waves = ceil_div(tiles, clusters * most_tiles)
    clusters = min(tiles, clusters * waves)
    cluster_tiles = ceil_div(tiles, clusters)
    full = tiles - clusters * (cluster_tiles - 1)
    grid = (splits, clusters)
    share = ceil_div(cluster_tiles * n, teams)
    if team > 1 or form.has_tails:
        share = ceil_div(share, 4) * 4
    shared = fixed + cluster_tiles * (128 + team * slot_bytes)
    exact = cluster_tiles * n * n < 2**32 and grid[1] < 2**16
    options = (threads, resident, team, grid, cluster_tiles, full, n, share, stride, shared)
    return GemvPlan(*options, column_tiles, depth, waves) if exact else None


def try_gemm(form: Form, rows: int, columns: int, batch: int, gpu: Gpu, *, warps: int,
             splits: int) -> GemmPlan | None:  # fmt: skip
    """Return the plan with these choices, or None where it does not fit."""
    column_tiles = column_tiles_of(batch)
    n = slice_of(form, form.units(columns), splits, STEP)
    fragments = WARP_TILES * warps * column_tiles
    shared = warps * 256 + max(2 * tile_bytes(form, column_tiles), fragments * SLOT_BYTES)
    blocks = ceil_div(form.tiles(rows), WARP_TILES * warps)
    pieces_fit = ceil_div(column_tiles * 4, warps) <= STEP
    if (
        n is None
        or not gpu.blocks(splits)
        or shared > gpu.shared_bytes
        or not pieces_fit
        or blocks >= 2**16
    ):
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
    if n is None or not clusters:
        return None
    rounds = ceil_div(tiles, most * clusters)
    block_tiles = min(most, ceil_div(tiles, rounds * clusters))
    blocks = ceil_div(tiles, block_tiles)
    if shared > gpu.shared_bytes or blocks >= 2**16:
        return None
    grid = (splits, blocks)
    return WarpgroupPlan(column_tiles, warps, groups, grid, n, block_tiles, shared)


def column_tiles_of(batch: int) -> int:
    """Column tiles of the smallest kernel that takes the batch: 1, 2, 4 or 8."""
    return next(n for n in (1, 2, 4, 8) if 8 * n >= batch)
