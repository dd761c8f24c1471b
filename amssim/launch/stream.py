"""The stream of activations: what lies in its blocks, whether they fit, and which are taken."""

from __future__ import annotations

from typing import NamedTuple

from amssim.launch.geometry import (
    BURST,
    MOST_BLOCKS,
    NO_PLAN,
    ROW_BYTES,
    STREAM,
    Gpu,
    LaunchPlan,
    burst_bytes,
    ceil_div,
    column_tiles,
    form_sizes,
    raw_stride,
    row_stride,
    row_tiles,
    running,
    slice_of,
    tasks_of,
    units_of,
)
from amssim.launch.tuning.rule import Costs

STREAM_BUFFERS, BARRIER_BYTES = 3, 8  # each buffer has a barrier
STREAM_SPLITS = 2


class StreamPlaces(NamedTuple):
    """Where things lie in the shared memory of a block of the stream; weights come first."""

    raw: int  # activations as they come
    buffers: int  # in order, for all warps
    rows: int  # scales and bias
    barriers: int  # of the buffers
    end: int


def chunk_bytes(group: int, team: int, x_tiles: int) -> int:
    """Bytes of one of the stream's buffers of activations."""
    return 8 * x_tiles * row_stride(group, BURST * team)


def raw_bytes_of_warp(group: int, x_tiles: int, warps: int, team: int) -> int:
    """Bytes where a warp of the stream puts its part of a chunk as it comes."""
    return 8 * x_tiles * raw_stride(group) * tasks_of(1, warps, team)


def stream_places(group: int, x_tiles: int, warps: int, team: int, depth: int) -> StreamPlaces:
    """Where things lie in a block of the stream."""
    raw = depth * warps * burst_bytes(group)
    carriers = min(warps, BURST * team)  # warps that have a part of each chunk
    buffers = raw + depth * carriers * raw_bytes_of_warp(group, x_tiles, warps, team)
    rows = buffers + STREAM_BUFFERS * chunk_bytes(group, team, x_tiles)
    barriers = rows + warps // team * ROW_BYTES
    return StreamPlaces(raw, buffers, rows, barriers, barriers + STREAM_BUFFERS * BARRIER_BYTES)


def try_stream(
    gpu: Gpu, group: int, rows: int, columns: int, batch: int, warps: int, depth: int, splits: int
) -> LaunchPlan:
    """A stream whose blocks have at most so many warps, in teams as large as fit."""
    tiles, clusters = row_tiles(rows), running(gpu, splits) // splits
    x_tiles, n = column_tiles(batch), slice_of(units_of(group, columns), splits, BURST)
    if n == 0 or clusters == 0 or x_tiles > 2:
        return NO_PLAN
    blocks = min(tiles, clusters * ceil_div(tiles, clusters * warps))
    block_tiles = ceil_div(tiles, blocks)
    team = warps // block_tiles
    room = gpu.shared_bytes
    while team > 1 and stream_places(group, x_tiles, team * block_tiles, team, depth).end > room:
        team -= 1
    warps = team * block_tiles
    shared = stream_places(group, x_tiles, warps, team, depth).end
    if shared > room or blocks > MOST_BLOCKS:
        return NO_PLAN
    return LaunchPlan(
        kernel=STREAM,
        splits=splits,
        blocks=blocks,
        warps=warps,
        slots=running(gpu, splits),
        units=ceil_div(n, BURST * team) * BURST * warps,
        slice_units=n,
        columns=8 * x_tiles,
        loads=BURST * depth,
        shared_bytes=shared,
        block_tiles=block_tiles,
        groups=1,
        resident=1,
        team=team,
        depth=depth,
    )


def best_stream(
    gpu: Gpu, costs: Costs, cluster_tiles: int, group: int, rows: int, columns: int, batch: int
) -> LaunchPlan:
    """The launch with K in two parts, for so many row tiles of a cluster."""
    low, high = costs.stream_uneven
    warps = costs.stream_uneven_warps if low <= cluster_tiles <= high else costs.stream_warps
    depth = stream_depth(group, batch)
    return try_stream(gpu, group, rows, columns, batch, warps, depth, STREAM_SPLITS)


def stream_depth(group: int, batch: int) -> int:
    """Bursts of weights, and parts of chunks, that a warp of the stream keeps on their way."""
    return form_sizes(group).stream_depth if batch <= 8 else 2
