"""Scales per block of columns on the tensor cores: which blocks are served, and how they lie.

A block must be whole units, a multiple of 64 columns of FP4.25 or 48 of FP5.33. Its scales then
meet the float32 sums of each unit. Stored are those of 1, 2 or 4 units together, row tile by row
tile, so that they lie at a fixed fraction of the offset of the weights and are fetched with them.
"""

from functools import lru_cache

from amssim.launch.gemv import try_gemv
from amssim.launch.geometry import CLUSTERS, NO_PLAN, Gpu, LaunchPlan
from amssim.launch.shapes import SINGLE
from cuda_kernels.forms.form import Form

MOST_ROWS = 8  # of activations that one launch takes: the scales in flight leave no more registers
#: block shapes in the order of preference: the scales in flight take 12 to 16 registers more
BLOCK_SHAPES = (SINGLE._replace(threads=768), SINGLE)


def scale_units(form: Form | None, scale_block: int | None) -> int:
    """Units that share stored scales, 1, 2 or 4; 0 for a block that is no whole units.

    >>> from cuda_kernels.forms import FP4_25, FP5_33
    >>> [scale_units(FP4_25, b) for b in (None, 32, 64, 128, 256, 320)]
    [0, 0, 1, 2, 4, 1]
    >>> [scale_units(FP5_33, b) for b in (48, 96, 128, 192)]
    [1, 2, 0, 4]
    """
    if form is None or scale_block is None or scale_block % form.unit_weights:
        return 0
    units = scale_block // form.unit_weights
    return next(n for n in (4, 2, 1) if units % n == 0)


def plan_block_scales(gpu: Gpu, group: int, rows: int, columns: int, batch: int) -> LaunchPlan:
    """The launch of a product with 1 to 8 rows of x; `NO_PLAN` where they do not fit."""
    for splits in (1, 2) if gpu.capability >= CLUSTERS else (1,):
        for shape in BLOCK_SHAPES:
            plan = try_gemv(gpu, group, rows, columns, batch, shape, splits)
            if plan.kernel:
                return plan
    return NO_PLAN


@lru_cache
def most_batch(form: Form, rows: int, columns: int, gpu: Gpu) -> int:
    """The most rows of x that one launch takes, 8 or fewer; 0 for none."""
    for batch in range(MOST_ROWS, 0, -1):
        if plan_block_scales(gpu, form.group, rows, columns, batch).kernel:
            return batch
    return 0
