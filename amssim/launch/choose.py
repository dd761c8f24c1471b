"""The choice: which kernel with which blocks serves a product, by the data of the GPU."""

from __future__ import annotations

from amssim.launch.gemm import best_gemm
from amssim.launch.gemv import best_gemv
from amssim.launch.geometry import (
    GEMM,
    GEMM_BATCH,
    GEMV_BATCH,
    HOPPER,
    NO_PLAN,
    STREAM,
    WARPGROUP,
    Gpu,
    LaunchPlan,
    column_tiles,
)
from amssim.launch.stream import best_stream
from amssim.launch.tuning.match import TUNED_COSTS, pays, preferred_shapes, tuning_of
from amssim.launch.tuning.rule import facts_of
from amssim.launch.warpgroup import best_warpgroup


def plan_launch(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> LaunchPlan:
    """The launch of a product with 1 to `GEMM_BATCH` rows of x.

    >>> h200 = Gpu(sms=132, shared_bytes=232_448, capability=90)
    >>> plan = plan_launch(h200, group=4, rows=57344, columns=8192, batch=1)
    >>> plan.kernel, plan.splits, plan.blocks, plan.warps
    (1, 1, 264, 12)
    """
    tuning, facts = tuning_of(gpu), facts_of(gpu, rows, columns, batch)
    costs, plan = TUNED_COSTS[tuning], NO_PLAN
    if pays(tuning, STREAM, group, facts):
        plan = best_stream(gpu, costs, facts.cluster_tiles, group, rows, columns, batch)
    if plan.kernel == 0 and gpu.capability == HOPPER and pays(tuning, WARPGROUP, group, facts):
        plan = best_warpgroup(gpu, costs, group, rows, columns, batch)
    by_gemm = batch > GEMV_BATCH or pays(tuning, GEMM, group, facts)
    if plan.kernel == 0 and not by_gemm:
        shapes = preferred_shapes(tuning, group, facts)
        plan = best_gemv(gpu, costs, shapes, group, rows, columns, batch)
    return plan if plan.kernel > 0 else best_gemm(gpu, costs, group, rows, columns, batch)


def same_plan(batch: int, other: int) -> bool:
    """Whether two batches of one layer certainly take the same plan: only GEMV counts rows of x."""
    if batch <= GEMV_BATCH or other <= GEMV_BATCH:
        return batch == other
    return column_tiles(min(batch, GEMM_BATCH)) == column_tiles(min(other, GEMM_BATCH))
