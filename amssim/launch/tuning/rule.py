"""What the data of a GPU are made of: boxes of products, preferences, and the numbers of costs."""

from __future__ import annotations

from typing import NamedTuple

from amssim.launch.geometry import Gpu, ceil_div, row_tiles, running
from amssim.launch.shapes import GEMV_SHAPES, GemvShape

Range = tuple[int, int]  # the least and the most, both included
Numbers = tuple[int, int, int, int, int, int, int, int, int]
ShapeNumbers = tuple[int, int, int, int]
MOST = 2**60  # larger than any size
ANY = (0, MOST)


class Facts(NamedTuple):
    """What rules look at of a product; the order is that of a rule's numbers."""

    batch: int
    rows: int
    columns: int
    weights: int
    tiles: int  # row tiles of all rows
    waves: int  # of row tiles, one for each multiprocessor
    full_waves: int  # of these
    cluster_tiles: int  # row tiles of a cluster of two where all clusters run at a time
    excess_rows: int  # rows beyond as many as columns


def facts_of(gpu: Gpu, rows: int, columns: int, batch: int) -> Facts:
    """The facts of a product on a GPU."""
    tiles, sms = row_tiles(rows), max(1, gpu.sms)
    return Facts(
        batch=batch,
        rows=rows,
        columns=columns,
        weights=rows * columns,
        tiles=tiles,
        waves=ceil_div(tiles, sms),
        full_waves=tiles // sms,
        cluster_tiles=ceil_div(tiles, max(1, running(gpu, 2) // 2)),
        excess_rows=max(0, rows - columns),
    )


class Rule(NamedTuple):
    """Products of a form for which a kernel pays, or for which a GEMV has some order of shapes."""

    kernel: int
    group: int  # of the form
    low: Numbers  # the least of each of the `Facts`
    high: Numbers  # the most
    shapes: tuple[GemvShape, ...]  # of a GEMV, up to four in the order of preference


def rule(kernel: int, group: int, shapes: tuple[GemvShape, ...] = (), **ranges: Range) -> Rule:
    """Return a rule that looks at the facts it names.

    >>> rule(1, 4, batch=(1, 2)).high[:2]
    (2, 1152921504606846976)
    """
    low, high = zip(*(ranges.pop(name, ANY) for name in Facts._fields), strict=True)
    if ranges:
        raise KeyError(f"rules know no fact {', '.join(ranges)}")
    return Rule(kernel, group, low, high, shapes)


def shape_numbers(rule: Rule) -> ShapeNumbers:
    """Places of a rule's shapes in `GEMV_SHAPES`, four of them; the last may come again."""
    numbers = [GEMV_SHAPES.index(shape) for shape in rule.shapes] or [0]
    first, second, third, fourth = (numbers + 3 * numbers[-1:])[:4]
    return first, second, third, fourth


class Costs(NamedTuple):
    """The numbers by which launches of one kernel are compared."""

    gemv_waves: int  # of blocks that may each bring activations
    gemv_activation_bytes: int  # that a block should bring at most
    stream_warps: int  # of a block, at most
    stream_uneven: Range  # tiles of a cluster with which teams of two leave half the warps out
    stream_uneven_warps: int  # of a block then
    gemm_least_warps: int  # fewer do not hide how long a step takes: they count as so many
    gemm_wide_sum: int  # to add up a cluster with 64 columns, in units of a warp
    gemm_sum: int  # with fewer
    gemm_sum_per_block: int  # and more for each block
    warpgroup_wide_round: float  # a round with 64 columns, for each group, in rounds of a warp
    warpgroup_group_round: float  # with fewer
    warpgroup_round: float  # and more for all groups together
    warpgroup_start: float  # of a block
    warpgroup_sum: float  # to add up a cluster
    warpgroup_wide_sum: float  # one of 8 blocks with 64 columns


class Tuning(NamedTuple):
    """The data of one GPU."""

    name: str
    record: str  # what they were made from
    sms: int
    capability: int  # ten times CUDA's
    rules: tuple[Rule, ...]  # of the GEMV the first that holds counts, of other kernels any
    costs: Costs
