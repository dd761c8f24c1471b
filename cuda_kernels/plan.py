"""Which kernel with which grid serves a product of a given shape. Pure arithmetic, no GPU.

The rules and costs are fits to measurements on an H200 (docs/KERNELS.md).
"""

from functools import lru_cache

from cuda_kernels.forms import Form
from cuda_kernels.grids import (
    GemmPlan,
    GemvPlan,
    Gpu,
    WarpgroupPlan,
    ceil_div,
    column_tiles_of,
    try_gemm,
    try_gemv,
    try_warpgroup,
)
from cuda_kernels.pairs import STEP

GEMV_BATCH = 16
GEMM_BATCH = 64


@lru_cache(maxsize=4096)
def plan(
    form: Form, rows: int, columns: int, batch: int, gpu: Gpu
) -> GemvPlan | GemmPlan | WarpgroupPlan:
    """Choose the launch of a product with 1 to `GEMM_BATCH` rows of activations."""
    found = None
    if better_by_warpgroup(form, rows, columns, batch, gpu):
        found = best_warpgroup(form, rows, columns, batch, gpu)
    elif batch <= GEMV_BATCH and not better_by_gemm(form, rows, columns, batch, gpu):
        found = best_gemv(form, rows, columns, batch, gpu)
    return found or best_gemm(form, rows, columns, batch, gpu)


def better_by_warpgroup(form: Form, rows: int, columns: int, batch: int, gpu: Gpu) -> bool:
    """Whether warpgroups pay (H200): above 16 columns but for few rows, below in large layers."""
    if not gpu.warpgroups or batch <= 4:
        return False
    if batch > 16:
        return rows > 5120
    if rows * columns < 2**27 or rows < 8192:
        return False
    if batch > 8:
        return not form.has_tails or columns > 8192
    return columns > (20000 if form.has_tails else 16000)


def better_by_gemm(form: Form, rows: int, columns: int, batch: int, gpu: Gpu) -> bool:
    """Whether staging all activations in every block costs more than sharing K (H200).

    FP5.33's pieces of 24 bytes are slower to stage than FP4.25's of 32.
    """
    if not gpu.hopper or batch <= 4:
        return batch > 8
    if batch > 8:
        return not form.has_tails or rows < 8192 or columns > 8192
    if form.has_tails:
        return columns > 20000
    return not 16384 < rows <= 32768


MOST_ACTIVATION_BYTES = 180_000  # that a block of the GEMV should bring
#: block shapes of the GEMV: bursts in registers, or (depth) in shared memory
ONE = {"threads": 512, "resident": 1, "blocks": 1, "team": 1, "depth": 0}
TWO = ONE | {"resident": 2, "blocks": 2}
WIDE = ONE | {"threads": 1024}
SMALL = TWO | {"threads": 384}
WIDE_IN_TEAMS = WIDE | {"team": 4}
TWO_RINGS = TWO | {"team": 4, "depth": 2}
RING = ONE | {"depth": 3}
#: one block per multiprocessor, with room for one of the next grid, which starts to load early
PAIRED_RING = ONE | {"resident": 2, "depth": 2}


def best_gemv(form: Form, rows: int, columns: int, batch: int, gpu: Gpu) -> GemvPlan | None:
    """The first block shape, in the order of preference, with the fewest slices, that is good.

    More than two waves of blocks bring the activations too often, and so does a block that brings
    too many: then K is better shared (H200 and H100).
    """
    choices = [
        try_gemv(form, rows, columns, batch, gpu, splits=splits, **shape)
        for splits in ((1, 2, 4) if gpu.hopper else (1,))
        for shape in gemv_shapes(form, rows, columns, batch, gpu)
    ]
    fits = [p for p in choices if p]
    good = (p for p in fits if p.waves <= 2 and batch * p.stride <= MOST_ACTIVATION_BYTES)
    return next(good, fits[0] if fits else None)


def gemv_shapes(form: Form, rows: int, columns: int, batch: int, gpu: Gpu) -> list[dict]:
    """Block shapes in the order of preference, as measured on an H200."""
    tiles, long = form.tiles(rows), columns > 16000
    if batch > 2:
        few = tiles <= 8 * gpu.multiprocessors and not (long and tiles >= 512)
        narrow = form.has_tails and (few or batch > 8)
        return [ONE, WIDE] if narrow else [WIDE, ONE]
    slots = 2 * gpu.multiprocessors
    if rows * columns < 2**25:
        first = SMALL if tiles <= slots else ONE if form.has_tails else TWO
        return [first, WIDE, ONE]
    if form.has_tails:
        return [RING, ONE, WIDE] if long else [PAIRED_RING, RING, ONE, WIDE]
    if long or tiles < 0.9 * slots * ceil_div(tiles, slots):  # pairs of blocks would be uneven
        return [WIDE_IN_TEAMS if long else WIDE, ONE]
    return [TWO_RINGS, TWO, WIDE, ONE] if tiles >= 1000 else [TWO, WIDE, ONE]


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
    """Relative time: rounds of blocks times their units, and adding up a cluster of n blocks.

    That costs 200 with 64 columns, else 100 + 10 n. Fewer than 8 warps do not hide how long a step
    takes. Up to 32 columns it is within 0.4 % of the best measured shape on average, 7 % at worst,
    over 84 products (H100).
    """
    splits, blocks = found.grid
    rounds = ceil_div(splits * blocks, gpu.blocks(splits))
    together = 200 if found.columns == 8 else 100 + 10 * splits
    return rounds * (found.slice_units * max(8, found.warps) + together * (splits > 1))
