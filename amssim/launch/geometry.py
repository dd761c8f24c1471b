"""What all kernels share: the GPU, the launch plan, and how a matrix is cut into units.

A *group* is the weights that share a bit in a kernel form: 4 for FP4.25, 3 for FP5.33. A *unit* is
16 rows x 16 groups of columns, 512 bytes of words; four of them along a row are a *burst*, and rows
are padded to whole bursts. A *row tile* is 16 rows of weights, a *column tile* 8 rows of x.
"""

from __future__ import annotations

from typing import NamedTuple

#: What `LaunchPlan.kernel` may be; 0 is no launch at all.
GEMV, GEMM, WARPGROUP, STREAM = 1, 2, 3, 4
#: Their names, by number: of files here, and of folders of `cuda_kernels`.
KERNEL_NAMES = ("none", "gemv", "gemm", "warpgroup", "stream")
KERNELS = range(1, len(KERNEL_NAMES))
#: Those that bring and multiply no rows of x past the batch.
EXACT_KERNELS = (GEMV, STREAM)
#: Most rows of x of the GEMV and the stream, and of all kernels.
GEMV_BATCH, GEMM_BATCH = 16, 64
TILE_ROWS, UNIT_BYTES = 16, 512
BURST = 4  # units that a warp takes at a time
STEP, WARP_TILES = BURST, 2  # of the GEMMs: units between barriers, row tiles of a warp
SLOT_BYTES = 512  # the sums of a row tile and a column tile: 16 x 8 float32
ROW_BYTES = 8 * TILE_ROWS  # scales and bias of a row tile
STATIC_BYTES = 1024  # of shared memory that each block takes for itself
MOST_BLOCKS = 2**16 - 1  # along the second axis of a grid
CLUSTERS = 90  # the capability from which blocks share K in clusters
HOPPER = 90  # the one capability whose warpgroups multiply by the instructions of ours


class Gpu(NamedTuple):
    """What a plan needs to know of a GPU; ``capability`` is ten times CUDA's."""

    sms: int
    shared_bytes: int
    capability: int


class LaunchPlan(NamedTuple):
    """One launch."""

    kernel: int  # GEMV, GEMM, WARPGROUP or STREAM; 0 where the choices do not fit
    splits: int  # blocks of a cluster, which share K
    blocks: int  # ranges of row tiles
    warps: int
    slots: int  # blocks that run at a time
    units: int  # that the warps of a block multiply, those past the end included
    slice_units: int  # along K
    columns: int  # rows of x that are multiplied at once, in eights: columns of an instruction
    loads: int  # units that a warp keeps requested
    shared_bytes: int
    block_tiles: int  # row tiles of a block; of a GEMV's first blocks, others may have one less
    groups: int  # parts of a block of warpgroups that share K
    resident: int  # blocks for which a multiprocessor has room
    team: int  # warps that take turns along K
    depth: int  # bursts that a warp keeps in a ring in shared memory, 0 for one in registers


NO_PLAN = LaunchPlan(
    kernel=0,
    splits=0,
    blocks=0,
    warps=0,
    slots=0,
    units=0,
    slice_units=0,
    columns=0,
    loads=0,
    shared_bytes=0,
    block_tiles=0,
    groups=0,
    resident=0,
    team=0,
    depth=0,
)


class FormSizes(NamedTuple):
    """Sizes of a kernel form that do not follow from its group."""

    tail_bytes: int  # of a burst: the shared bits that lie apart from the words
    row_skew_bytes: int  # past whole 128 bytes, between rows of activations in pair order
    raw_skew_bytes: int  # the same of activations as they are copied
    run_columns: int  # of activations that a warp of the GEMV brings at a time
    stream_depth: int  # bursts that a warp of the stream keeps on their way, for 8 rows of x


TAIL_BYTES = 128
#: By 16 bytes per lane and load, a warp brings 16 columns for each lane, or 12 twice.
FP4_25 = FormSizes(
    tail_bytes=TAIL_BYTES, row_skew_bytes=16, raw_skew_bytes=16, run_columns=512, stream_depth=2
)
FP5_33 = FormSizes(
    tail_bytes=0, row_skew_bytes=32, raw_skew_bytes=0, run_columns=768, stream_depth=3
)


def form_sizes(group: int) -> FormSizes:
    """The sizes of the form whose groups have so many weights."""
    return FP4_25 if group == 4 else FP5_33


def starts_early(gpu: Gpu) -> bool:
    """Whether a grid may start before the one ahead of it has ended (compute capability 9.0)."""
    return gpu.capability >= CLUSTERS


def ceil_div(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)


def even_parts(total: int, parts: int) -> tuple[int, int]:
    """(size of the larger parts, how many of them there are); the others are one smaller.

    >>> even_parts(10, 4)
    (3, 2)
    """
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


def waves_of(gpu: Gpu, plan: LaunchPlan) -> int:
    """Waves of a plan's blocks where a multiprocessor runs one block at a time."""
    return ceil_div(plan.splits * plan.blocks, running(gpu, plan.splits))


def row_tiles(rows: int) -> int:
    """Row tiles of a matrix."""
    return ceil_div(rows, TILE_ROWS)


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
    """Column tiles of the smallest kernel that takes the batch: 1, 2, 4 or 8."""
    tiles = 1
    while 8 * tiles < batch:
        tiles *= 2
    return tiles


def burst_bytes(group: int) -> int:
    """Bytes of a burst, FP4.25's shared bits included."""
    return BURST * UNIT_BYTES + form_sizes(group).tail_bytes


def row_stride(group: int, units: int) -> int:
    """Bytes between rows of activations in shared memory such that lanes meet no bank twice."""
    return ceil_div(32 * group * units, 128) * 128 + form_sizes(group).row_skew_bytes


def raw_stride(group: int) -> int:
    """Bytes between rows of activations as they are copied, without bank conflicts."""
    return 2 * unit_columns(group) + form_sizes(group).raw_skew_bytes


def run_columns(group: int) -> int:
    """Columns of activations that a warp of the GEMV brings at a time, 16 bytes per lane and load:
    whole pieces of 16 or 12 columns for each lane."""
    return form_sizes(group).run_columns


def tasks_of(x_tiles: int, warps: int, groups: int) -> int:
    """Tasks per warp and round in which each of ``groups`` multiplies a burst.

    A task is a unit of one column tile of activations, or of all where ``x_tiles`` is 1.
    """
    return ceil_div(x_tiles * STEP * groups, warps)
