"""The choice: which kernel with which blocks serves a product.

The rules and costs are fits to measurements on an H200, and on an H100 where it is said
(docs/KERNELS.md).
"""

from __future__ import annotations

from amssim.launch.gemm import best_gemm, better_by_gemm
from amssim.launch.gemv import best_gemv
from amssim.launch.geometry import (
    GEMM_BATCH,
    GEMV_BATCH,
    NO_PLAN,
    Gpu,
    LaunchPlan,
    column_tiles,
)
from amssim.launch.stream import best_stream, better_by_stream
from amssim.launch.warpgroup import best_warpgroup, better_by_warpgroup


def plan_launch(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> LaunchPlan:
    """The launch of a product with 1 to `GEMM_BATCH` rows of x.

    >>> h200 = Gpu(sms=132, shared_bytes=232_448, capability=90)
    >>> plan = plan_launch(h200, group=4, rows=57344, columns=8192, batch=1)
    >>> plan.kernel, plan.splits, plan.blocks, plan.warps
    (1, 1, 264, 12)
    """
    plan = NO_PLAN
    if better_by_stream(gpu, group, rows, columns, batch):
        plan = best_stream(gpu, group, rows, columns, batch)
    if plan.kernel == 0 and better_by_warpgroup(gpu, group, rows, columns, batch):
        plan = best_warpgroup(gpu, group, rows, columns, batch)
    by_gemm = batch > GEMV_BATCH or better_by_gemm(gpu, group, rows, columns, batch)
    if plan.kernel == 0 and not by_gemm:
        plan = best_gemv(gpu, group, rows, columns, batch)
    return plan if plan.kernel > 0 else best_gemm(gpu, group, rows, columns, batch)


def same_plan(batch: int, other: int) -> bool:
    """Whether two batches of one layer certainly take the same plan: only GEMV counts rows of x."""
    if batch <= GEMV_BATCH or other <= GEMV_BATCH:
        return batch == other
    return column_tiles(min(batch, GEMM_BATCH)) == column_tiles(min(other, GEMM_BATCH))
