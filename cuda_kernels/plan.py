"""Which kernel with which grid serves a product of a given shape. Pure arithmetic, no GPU."""

from dataclasses import dataclass

from cuda_kernels.driver import LARGEST_PORTABLE_CLUSTER, Gpu
from cuda_kernels.forms import Form
from cuda_kernels.gemv import SLOT_BYTES, row_stride

GEMV_BATCH = 8


@dataclass(frozen=True)
class Plan:
    """A launch: ``splits`` blocks share K and form a cluster that owns ``cluster_tiles``."""

    warps: int
    blocks_per_sm: int
    grid: int
    splits: int
    cluster_tiles: int
    stride: int
    shared_bytes: int


def slice_units(form: Form, columns: int, splits: int) -> int:
    """Units of the largest slice of K."""
    steps = form.units(columns) // form.step
    return -(-steps // splits) * form.step


def gemv_plan(form: Form, rows: int, columns: int, batch: int, gpu: Gpu, *, warps: int,
              blocks_per_sm: int, splits: int) -> Plan | None:  # fmt: skip
    """Return the plan with these choices, or None where it does not fit."""
    tiles = form.tiles(rows)
    if splits > form.units(columns) // form.step:
        return None
    stride = row_stride(form, slice_units(form, columns, splits))
    most = gpu.shared_bytes // blocks_per_sm - 1024 * (blocks_per_sm - 1)
    most_tiles = (most - batch * stride) // SLOT_BYTES - warps
    if most_tiles < 1:
        return None
    clusters = gpu.multiprocessors * blocks_per_sm // splits
    waves = -(-tiles // (clusters * most_tiles))
    cluster_tiles = -(-tiles // (clusters * waves))
    grid = -(-tiles // cluster_tiles) * splits
    shared = batch * stride + (warps + cluster_tiles) * SLOT_BYTES
    return Plan(warps, blocks_per_sm, grid, splits, cluster_tiles, stride, shared)


__all__ = ["GEMV_BATCH", "LARGEST_PORTABLE_CLUSTER", "Plan", "gemv_plan", "slice_units"]
