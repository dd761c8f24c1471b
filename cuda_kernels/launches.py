"""Launches of kernels, as `amssim.launch` plans them: their grids, options and arguments."""

from dataclasses import dataclass
from functools import lru_cache

from amssim.launch import gemm, gemv, geometry, stream, warpgroup
from amssim.launch.choose import plan_launch
from amssim.launch.gemv import GemvShape
from amssim.launch.geometry import GEMM, GEMV, STREAM, LaunchPlan
from cuda_kernels.forms.form import Form


@dataclass(frozen=True)
class Gpu:
    """What a launch needs to know of a GPU."""

    multiprocessors: int
    shared_bytes: int
    capability: tuple[int, int]

    @property
    def hopper(self) -> bool:
        """Whether it has clusters and early launch."""
        return self.capability >= (9, 0)

    @property
    def plain(self) -> geometry.Gpu:
        """The same, as plans take it."""
        major, minor = self.capability
        return geometry.Gpu(self.multiprocessors, self.shared_bytes, 10 * major + minor)


@dataclass(frozen=True)
class GemvLaunch:
    """A launch of `cuda_kernels.gemv`; its fields are that kernel's arguments and options."""

    threads: int
    resident: int
    team: int
    grid: tuple[int, int]
    cluster_tiles: int
    full: int
    slice_units: int
    share: int
    ample: int
    stride: int
    shared_bytes: int
    columns: int
    depth: int
    shift: int

    @property
    def whole(self) -> bool:
        """Whether the ring of a warp holds all its bursts."""
        return self.share <= geometry.BURST * self.team * self.depth

    @property
    def options(self) -> dict:
        """What the kernel is compiled for."""
        names = ("team", "columns", "depth", "whole")
        return {name: getattr(self, name) for name in names} | {"split": self.grid[0] > 1}

    @property
    def sizes(self) -> tuple[int, ...]:
        """The kernel's last arguments."""
        return (
            self.cluster_tiles, self.full, self.slice_units, self.share, self.ample, self.stride,
            self.shift,
        )  # fmt: skip

    @property
    def reciprocals(self) -> tuple[int, int, int]:
        """2^32 / slice_units, share and share - BURST, rounded up: the kernel divides by
        multiplying. 0 for a division by 0."""
        less = self.share - geometry.BURST
        return tuple(-(-(2**32) // n) if n else 0 for n in (self.slice_units, self.share, less))


@dataclass(frozen=True)
class GemmLaunch:
    """A launch of `cuda_kernels.gemm`; its fields are that kernel's arguments and options."""

    columns: int
    warps: int
    grid: tuple[int, int]
    slice_units: int
    shared_bytes: int


@dataclass(frozen=True)
class WarpgroupLaunch:
    """A launch of `cuda_kernels.warpgroup`; its fields are that kernel's arguments and options."""

    columns: int
    warps: int
    groups: int
    grid: tuple[int, int]
    slice_units: int
    block_tiles: int
    shared_bytes: int


@dataclass(frozen=True)
class StreamLaunch:
    """A launch of `cuda_kernels.stream`; its fields are that kernel's arguments and options."""

    columns: int
    warps: int
    team: int
    depth: int
    grid: tuple[int, int]
    full: int
    slice_units: int
    shared_bytes: int

    @property
    def options(self) -> dict:
        """What the kernel is compiled for."""
        names = ("warps", "team", "columns", "depth")
        return {name: getattr(self, name) for name in names} | {"split": self.grid[0] > 1}


def launch_of(found: LaunchPlan, form: Form, rows: int):
    """The launch that a plan stands for, None where it is none."""
    grid, columns = (found.splits, found.blocks), found.columns // 8
    n, shared = found.slice_units, found.shared_bytes
    if not found.kernel:
        return None
    if found.kernel == GEMM:
        return GemmLaunch(columns, found.warps, grid, n, shared)
    _, full = geometry.even_parts(form.tiles(rows), found.blocks)
    if found.kernel == STREAM:
        options = (columns, found.warps, found.team, found.depth)
        return StreamLaunch(*options, grid, full, n, shared)
    if found.kernel != GEMV:
        tiles = found.block_tiles
        return WarpgroupLaunch(columns, found.warps, found.groups, grid, n, tiles, shared)
    teams = found.warps // found.team
    most, ample = geometry.even_parts(found.units // geometry.BURST, teams)
    runs = geometry.ceil_div(n * form.unit_weights, geometry.run_columns(form.group))
    return GemvLaunch(
        32 * found.warps, found.resident, found.team, grid, found.block_tiles, full, n,
        most * geometry.BURST, ample, geometry.row_stride(form.group, n), shared, columns,
        found.depth, (runs - 1).bit_length(),
    )  # fmt: skip


@lru_cache(maxsize=4096)
def launch(
    form: Form, rows: int, columns: int, batch: int, gpu: Gpu
) -> GemvLaunch | GemmLaunch | WarpgroupLaunch | StreamLaunch:
    """Choose the launch of a product with 1 to `GEMM_BATCH` rows of activations."""
    found = plan_launch(gpu.plain, form.group, rows, columns, batch)
    return launch_of(found, form, rows)


def try_gemv(form: Form, rows: int, columns: int, batch: int, gpu: Gpu, shape: GemvShape,
             splits: int = 1) -> GemvLaunch | None:  # fmt: skip
    """Return the GEMV with these choices, or None where it does not fit."""
    found = gemv.try_gemv(gpu.plain, form.group, rows, columns, batch, shape, splits)
    return launch_of(found, form, rows)


def try_gemm(form: Form, rows: int, columns: int, batch: int, gpu: Gpu, *, warps: int,
             splits: int) -> GemmLaunch | None:  # fmt: skip
    """Return the GEMM with these choices, or None where it does not fit."""
    found = gemm.try_gemm(gpu.plain, form.group, rows, columns, batch, warps, splits)
    return launch_of(found, form, rows)


def try_warpgroup(form: Form, rows: int, columns: int, batch: int, gpu: Gpu, *, warps: int,
                  groups: int, splits: int) -> WarpgroupLaunch | None:  # fmt: skip
    """Return the GEMM by warpgroup with these choices, or None where it does not fit."""
    choices = (warps, groups, splits)
    found = warpgroup.try_warpgroup(gpu.plain, form.group, rows, columns, batch, *choices)
    return launch_of(found, form, rows)


def try_stream(form: Form, rows: int, columns: int, batch: int, gpu: Gpu, *, warps: int,
               depth: int, splits: int) -> StreamLaunch | None:  # fmt: skip
    """Return the stream with these choices, or None where it does not fit."""
    choices = (warps, depth, splits)
    found = stream.try_stream(gpu.plain, form.group, rows, columns, batch, *choices)
    return launch_of(found, form, rows)
