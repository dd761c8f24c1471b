"""GEMV: out[n, m] = scale[m] * sum_k W[m, k] x[n, k] + bias[m] for a batch of 1 to 16.

A cluster of blocks owns a range of row tiles, each of its blocks a slice of K, and a block's
slice of the activations stays in shared memory. Every warp streams its own units without a
barrier, whatever the shape (`cuda_kernels.gemv.walk`). Where a warp leaves a row tile it puts its
sums into shared memory; at the end these are added in a fixed order, so that the result is
deterministic.
"""

from numba import cuda

from amssim.launch.geometry import (
    BURST,
    SLOT_BYTES,
    Gpu,
    LaunchPlan,
    burst_bytes,
    ceil_div,
    even_parts,
    row_stride,
    run_columns,
    starts_early,
)
from cuda_kernels.forms.form import Form
from cuda_kernels.gemv.add_up import make_add_up
from cuda_kernels.gemv.feed import make_register_feed, make_ring_feed
from cuda_kernels.gemv.stage import make_stage
from cuda_kernels.gemv.walk import make_partition
from cuda_kernels.kernel import Arguments, Kernel, KernelProblem, Options
from cuda_kernels.parts.bursts import turned
from cuda_kernels.parts.finish import make_meeting
from cuda_kernels.parts.lane_x import make_lane_x
from cuda_kernels.parts.rows import make_stage_rows
from cuda_kernels.parts.sums import make_add_unit, make_sums
from cuda_kernels.ptx import (
    keep,
    shared_address,
    start_next_grid,
    u32,
    u64,
    wait_for_previous_grid,
)
from cuda_kernels.signature import address, count, wide_count


def make_loop(form: Form, feed, sums_of_tile, add_unit, team: int, depth: int):
    """Make the device function that multiplies a warp's range."""
    decode, (zeros, leave) = form.decode, sums_of_tile
    _, open_burst, take, refill, close_burst = feed
    x_unit_bytes, step = u32(16 * form.pairs), u32(BURST * team)
    ahead = u32(BURST * team * max(1, depth))

    @cuda.jit(device=True, inline="always")
    def multiply_range(state, sources, place, slice_end, span, x_places, mine):
        """Add up the bursts at i, i + step, ... to ``end``; returns the last row tile's sums and
        slot."""
        i, unit, end = span
        n, (lane_x, beside) = slice_end[0], x_places
        sums = zeros
        while i < end:
            if unit >= n:  # the range goes on in the next row tile
                mine, sums = leave(mine, sums)
                unit = u32(unit - n)
            x_now, more = u32(lane_x + unit * x_unit_bytes), u32(u32(i + ahead) < end)
            tail, state = open_burst(state, sources, place, more)
            for u in range(BURST):
                words, scales = take(u, state)
                fragments = decode(words, tail)
                state = refill(u, state, sources, place, more)
                tail = turned(tail, 1)
                x_unit = u32(x_now + u32(u) * x_unit_bytes)
                sums = add_unit(sums, fragments, x_unit, beside, scales)
            state, place = close_burst(state, place, slice_end)
            i, unit = u32(i + step), u32(unit + step)
        return sums, mine

    return multiply_range


def make_bring(form: Form, early: bool):
    """Make the device function that brings what a block shares to shared memory."""
    stage, stage_rows = make_stage(form), make_stage_rows()
    unit_weights = u32(form.unit_weights)

    @cuda.jit(device=True, inline="always")
    def bring(row_values, activations, block, places):
        """Scales and bias, and when the grid ahead has ended the activations."""
        scales, bias, rows = row_values
        x, k_columns, batch, shift, stride = activations
        first_tile, tiles, first, n = block
        x_at, row_data = places
        stage_rows(scales, bias, u32(first_tile * u32(16)), rows, u32(tiles * u32(16)), row_data)
        if early:
            wait_for_previous_grid()
        source = (x, k_columns, batch, u32(first * unit_weights))
        stage(source, u32(n * unit_weights), shift, x_at, stride)
        cuda.syncthreads()

    return bring


def make_gemv(form: Form, dtype: str, *, early: bool, split: bool, team: int, x_tiles=1, depth=0,
              scale_units=0, whole=False):  # fmt: skip
    """Make the kernel of one form and output dtype.

    Args:
        early: it may start before the grid ahead of it ends (compute capability 9).
        split: the blocks of a cluster share K (compute capability 9).
        team: warps that take turns.
        x_tiles: column tiles of 8: 1 for a batch of 1 to 8, 2 for 9 to 16.
        depth: bursts in a warp's ring in shared memory, 0 for a burst in registers.
        scale_units: units that share stored scales, 0 for rows (`cuda_kernels.gemv.block_scales`).
            They come with a burst in registers.
        whole: a ring holds all bursts of a warp.
    """
    partition, tile_of, slot_of = make_partition(split, team)
    if depth:
        feed = make_ring_feed(form, split, team, depth, early, whole)
    else:
        feed = make_register_feed(form, split, team, scale_units)
    in_turns = x_tiles == 1 and depth > 0  # units add to two sums
    sums_of_tile = make_sums(team, x_tiles, in_turns)
    add_unit = make_add_unit(form, x_tiles, scale_units, in_turns)
    multiply_range = make_loop(form, feed, sums_of_tile, add_unit, team, depth)
    start, (_, leave) = feed[0], sums_of_tile
    bring, lane_x = make_bring(form, early), make_lane_x(form, x_tiles)
    find_slots, add_up = make_add_up(dtype, split, team, x_tiles)
    meet, wait_for_readers = make_meeting(split)
    slot_bytes, ring_bytes = x_tiles * SLOT_BYTES, u32(depth * burst_bytes(form.group))

    def gemv(
        weights: address, tails: address, scales: address, bias: address,
        x: address, x_scales: address, out: address,
        per_tile: wide_count, per_share: wide_count, per_less: wide_count,
        rows: count, k_columns: count, batch: count, units: count, row_tiles: count,
        cluster_tiles: count, full: count, slice_units: count, share: count, ample: count,
        stride: count, shift: count,
    ):  # fmt: skip
        """out[n, m] = scale[m] sum_k W[m, k] x[n, k] + bias[m].

        weights: uint32[row_tiles, units, 32, 4] words; tails: uint32[row_tiles, units / 4, 32]
        scales, bias: float32[rows], bias 0 for none; x: float16[batch, k_columns]
        x_scales: float32[batch] or 0; out: dtype[batch, rows]
        cluster_tiles, full: row tiles of each of the first ``full`` clusters; others have one less
        slice_units: units of a block's slice of K
        share, ample: units of the ranges of the first ``ample`` teams; others have a burst less
        per_tile, per_share, per_less: 2^32 / slice_units, share and share - BURST, rounded up
        stride: bytes between rows of activations in shared memory
        shift: 2^shift is at least the runs of a row of activations (`cuda_kernels.gemv.stage`)
        """
        if early:
            start_next_grid()
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        warp = u32(u32(cuda.threadIdx.x) >> u32(5))
        sizes = (units, cluster_tiles, full, slice_units, share, ample)
        block, place, (begin, end), (i, tile, unit) = partition(sizes, per_tile)
        first_tile, tiles, first, n = block
        slot = slot_of(tile, place)
        # the first loads leave before anything else: weights do not depend on the grid before
        burst = u32(u32(u32(first_tile + tile) * units + u32(first + unit)) // u32(BURST))
        slice_end = (n, u32(u32(units - n) // u32(BURST)))
        pairs = u64(scales + u64(row_tiles) * u64(64) + u64(lane >> u32(2)) * u64(8))
        sources = (u64(weights + u64(lane) * u64(16)), u64(tails + u64(lane) * u64(4)), pairs)
        rings = keep(shared_address(cuda.shared.array(0, u32)))
        ring = u32(rings + warp * ring_bytes)
        state, coming = start(sources, (burst, unit), slice_end, (i, end, ring))

        x_at = u32(rings + (u32(cuda.blockDim.x) >> u32(5)) * ring_bytes)
        row_data = u32(x_at + batch * stride)
        slots = u32(row_data + cluster_tiles * u32(128))
        teams = (u32(ample * u32(BURST)), per_share, per_less)
        work = (first_tile, tiles, units, slice_units, teams, row_data, slots)
        first_slots = find_slots(work)  # takes long, and depends on nothing
        bring((scales, bias, rows), (x, k_columns, batch, shift, stride), block, (x_at, row_data))
        x_places = lane_x(x_at, batch, stride)
        mine = u32(slots + slot * u32(slot_bytes) + lane * u32(16))
        span = (i, unit, end)
        sums, mine = multiply_range(state, sources, coming, slice_end, span, x_places, mine)
        if begin < end:  # the last tile of the range, and zeros where this warp had no turn in it
            last = slot_of(tile_of(u32(end - u32(1)), n, per_tile), place)
            while mine <= u32(slots + last * u32(slot_bytes) + lane * u32(16)):
                mine, sums = leave(mine, sums)
        meet()
        add_up(first_slots, work, (rows, batch, x_scales, out))
        wait_for_readers()

    return gemv


def options_of(plan: LaunchPlan, problem: KernelProblem, gpu: Gpu) -> Options:
    """What `make_gemv` makes for a plan."""
    share, _ = shares_of(plan)
    return {
        "early": starts_early(gpu),
        "split": plan.splits > 1,
        "team": plan.team,
        "x_tiles": plan.columns // 8,
        "depth": plan.depth,
        "scale_units": problem.scale_units,
        "whole": share <= BURST * plan.team * plan.depth,
    }


def shares_of(plan: LaunchPlan) -> tuple[int, int]:
    """(units of the larger ranges of a block's teams, how many of these there are)."""
    most, ample = even_parts(plan.units // BURST, plan.warps // plan.team)
    return most * BURST, ample


def arguments_of(plan: LaunchPlan, problem: KernelProblem) -> Arguments:
    """The arguments that a plan gives.

    The kernel divides by multiplying with 2^32 / n, rounded up; 0 stands for a division by 0.
    """
    group, n = problem.form.group, plan.slice_units
    share, ample = shares_of(plan)
    _, full = even_parts(problem.form.tiles(problem.rows), plan.blocks)
    names = {"per_tile": n, "per_share": share, "per_less": share - BURST}
    runs = ceil_div(n * problem.form.unit_weights, run_columns(group))
    return {name: ceil_div(2**32, d) if d else 0 for name, d in names.items()} | {
        "cluster_tiles": plan.block_tiles,
        "full": full,
        "slice_units": n,
        "share": share,
        "ample": ample,
        "stride": row_stride(group, n),
        "shift": (runs - 1).bit_length(),
    }


KERNEL = Kernel(make_gemv, options_of, arguments_of)
