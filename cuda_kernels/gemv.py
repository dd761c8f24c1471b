"""GEMV: out[n, m] = scale[m] * sum_k W[m, k] x[n, k] + bias[m] for a batch of 1 to 8.

A cluster of blocks owns a range of row tiles, each of its blocks a slice of K, and a block's
slice of the activations stays in shared memory. The block's units, row tile by row tile, are one
list. Teams of warps share it evenly, each a contiguous range that its warps take in turns, a
burst of four units at a time: every warp streams without a barrier, whatever the shape. Where a
warp leaves a row tile it puts its sums into shared memory; at the end these are added in a fixed
order, so that the result is deterministic.
"""

from numba import cuda

from cuda_kernels.add_up import make_add_up
from cuda_kernels.forms import UNIT_BYTES, Form
from cuda_kernels.ptx import (
    DECODE,
    cluster_barrier,
    contract,
    f32,
    keep,
    load_word_if,
    load_words_if,
    shared_address,
    start_next_grid,
    store_shared,
    u32,
    u64,
    wait_for_previous_grid,
)
from cuda_kernels.ptx.memory import load_pair_if
from cuda_kernels.stage import make_stage, make_stage_rows

BURST = 4  # units that a warp takes at a time: 16-byte loads in flight per lane
SLOT_BYTES = 512  # the sums of one row tile: 16 rows x 8 columns, float32
ZEROS = (f32(0), f32(0), f32(0), f32(0))


def make_partition(split: bool, team: int):
    """Make the device functions that find a warp's range of its block's units."""

    @cuda.jit(device=True, inline="always")
    def tile_of(i, n, per_tile):
        """Row tile, counted from the block's first, of unit i of the block's list."""
        return u32(i // n) if split else u32((u64(i) * per_tile) >> u64(32))

    @cuda.jit(device=True, inline="always")
    def slot_of(tile, place):
        """Slot of this warp's sums of a row tile: a different one for each pair."""
        number, mate = place
        return u32(u32(number + tile) * u32(team) + mate)

    @cuda.jit(device=True, inline="always")
    def partition(sizes, per_tile):
        """((first row tile, row tiles, first unit, units) of the block, (team, mate) of the warp,
        (begin, end) of its team's range, (first unit in the list, its row tile, place in that))."""
        units, row_tiles, cluster_tiles, slice_units, share = sizes
        warp = u32(u32(cuda.threadIdx.x) >> u32(5))
        mate, number = u32(warp % u32(team)), u32(warp // u32(team))
        first_tile = u32(u32(cuda.blockIdx.y) * cluster_tiles)
        tiles = u32(min(cluster_tiles, u32(row_tiles - first_tile)))
        first = u32(u32(cuda.blockIdx.x) * slice_units)
        n = u32(min(slice_units, u32(units - first)))
        total = u32(tiles * n)
        begin = u32(min(total, u32(number * share)))
        end = u32(min(total, u32(begin + share)))
        tile = tile_of(begin, n, per_tile)
        i = u32(begin + mate * u32(BURST))
        unit = u32(i - tile * n)  # may lie past the row tile's end: the loop sees to that
        return (first_tile, tiles, first, n), (number, mate), (begin, end), (i, tile, unit)

    return partition, tile_of, slot_of


def make_loads(form: Form, split: bool, scale_units: int):
    """Make the device functions that walk along the units of a slice and start their loads."""
    has_tails, shift = form.has_tails, 3 + scale_units.bit_length() - 1
    one = (f32(1), f32(1))

    @cuda.jit(device=True, inline="always")
    def forward(at, ahead, slice_end):
        """(offset in memory, place in the row) of the unit that comes next in the list."""
        n, jump = slice_end
        at, ahead = u64(at + u64(UNIT_BYTES)), u32(ahead + u32(1))
        if split and ahead == n:
            at, ahead = u64(at + jump), u32(0)
        return at, ahead

    @cuda.jit(device=True, inline="always")
    def fetch(sources, at, wanted):
        """Start the loads of a unit: its words, and the scales of this lane's two rows in it."""
        words, _, pairs = sources
        if scale_units:
            place = u64((at >> u64(shift)) & u64(0xFFFFFFFFFFFFFFC0))
            return load_words_if(u64(words + at), wanted), load_pair_if(u64(pairs + place), wanted)
        return load_words_if(u64(words + at), wanted), one

    @cuda.jit(device=True, inline="always")
    def fetch_tail(sources, at, wanted):
        """Start the load of the shared bits of the four units from ``at`` on."""
        if has_tails:
            return load_word_if(u64(sources[1] + (at >> u64(4))), wanted)
        return u32(0)

    @cuda.jit(device=True, inline="always")
    def first_loads(sources, at, ahead, slice_end, i, end):
        """(tail, four units' words and scales, offset and place of the last of them)."""
        if split and ahead >= slice_end[0]:
            ahead, at = u32(ahead - slice_end[0]), u64(at + slice_end[1])
        tail = fetch_tail(sources, at, u32(i < end))
        unit0 = fetch(sources, at, u32(i < end))
        unit1, unit2, unit3 = unit0, unit0, unit0
        for u in range(1, BURST):
            at, ahead = forward(at, ahead, slice_end)
            unit1, unit2, unit3 = unit2, unit3, fetch(sources, at, u32(i + u32(u) < end))
        return tail, (unit0, unit1, unit2, unit3), at, ahead

    return forward, fetch, fetch_tail, first_loads


def make_add_unit(form: Form, scale_units: int):
    """Make the device function that multiplies a unit and adds it to the sums."""
    multiply = contract(form.pairs)

    @cuda.jit(device=True, inline="always")
    def add_unit(sums, fragments, x_at, scales):
        """sums + scales W X over one unit; the scales are those of rows g and g + 8."""
        if scale_units:
            s0, s1, s2, s3 = multiply(ZEROS, fragments, x_at)
            upper, lower = scales
            return (
                f32(sums[0] + s0 * upper),
                f32(sums[1] + s1 * upper),
                f32(sums[2] + s2 * lower),
                f32(sums[3] + s3 * lower),
            )
        return multiply(sums, fragments, x_at)

    return add_unit


def make_loop(form: Form, split: bool, team: int, scale_units: int):
    """Make the device functions that multiply a warp's range, and leave the sums of a row tile."""
    decode, add_unit = DECODE[form], make_add_unit(form, scale_units)
    forward, fetch, fetch_tail, _ = make_loads(form, split, scale_units)
    has_tails, unit_bytes = form.has_tails, u32(16 * form.pairs)
    stride_units, others = u32(BURST * team), u32(BURST * (team - 1))

    @cuda.jit(device=True, inline="always")
    def leave(mine, sums):
        """Put the sums of a row tile into this warp's slot, and go on to the next one's."""
        store_shared(mine, sums)
        return u32(mine + u32(team * SLOT_BYTES)), ZEROS

    @cuda.jit(device=True, inline="always")
    def multiply_range(loaded, sources, slice_end, span, lane_x, mine):
        """Add up units i, i + 1, ... to ``end``; returns the last row tile's sums and slot."""
        tail, ring, at, ahead = loaded
        i, unit, end = span
        n, jump = slice_end
        unit0, unit1, unit2, unit3 = ring
        sums, coming = ZEROS, u32(0)
        while i < end:
            if unit >= n:  # the range goes on in the next row tile
                mine, sums = leave(mine, sums)
                unit = u32(unit - n)
            x_now = u32(lane_x + unit * unit_bytes)
            at, ahead = u64(at + u64(others) * u64(UNIT_BYTES)), u32(ahead + others)
            if split and ahead >= n:
                at, ahead = u64(at + jump), u32(ahead - n)
            for u in range(BURST):
                at, ahead = forward(at, ahead, slice_end)
                more = u32(u32(i + stride_units) < end)
                if u == 0:
                    coming = fetch_tail(sources, at, more)
                fragments, scales = decode(unit0[0], tail), unit0[1]
                unit0, unit1, unit2, unit3 = unit1, unit2, unit3, fetch(sources, at, more)
                tail = u32((tail >> u32(4)) | (tail << u32(28)))
                if has_tails or i < end:  # with tails, ranges are whole bursts
                    if not has_tails and unit == n:
                        mine, sums = leave(mine, sums)
                        unit, x_now = u32(0), lane_x
                    sums = add_unit(sums, fragments, x_now, scales)
                unit, x_now, i = u32(unit + u32(1)), u32(x_now + unit_bytes), u32(i + u32(1))
            tail = coming
            i, unit = u32(i + others), u32(unit + others)
        return sums, mine

    return multiply_range, leave


def make_bring(form: Form, early: bool):
    """Make the device function that brings what a block shares to shared memory."""
    stage, stage_rows = make_stage(form), make_stage_rows()
    unit_weights = u32(form.unit_weights)

    @cuda.jit(device=True, inline="always")
    def bring(row_values, activations, block, places):
        """Scales and bias, and when the grid ahead has ended the activations."""
        scales, bias, rows = row_values
        x, columns, batch, shift, stride = activations
        first_tile, tiles, first, n = block
        x_at, row_data = places
        stage_rows(scales, bias, u32(first_tile * u32(16)), rows, u32(tiles * u32(16)), row_data)
        if early:
            wait_for_previous_grid()
        source = (x, columns, batch, u32(first * unit_weights))
        stage(source, u32(n * u32(4)), shift, x_at, stride)
        cuda.syncthreads()

    return bring


def make_close(dtype: str, split: bool, team: int):
    """Make the device function that adds up what the warps of a cluster have left."""
    add_up = make_add_up(dtype, split, team)

    @cuda.jit(device=True, inline="always")
    def close(work, target):
        """out = the sums of all slots; a block's shared memory must outlive its readers."""
        if split:
            cluster_barrier()
        else:
            cuda.syncthreads()
        add_up(work, target)
        if split:
            cluster_barrier()

    return close


def make_gemv(form: Form, dtype: str, *, early: bool, split: bool, team: int, scale_units=0):
    """Make the kernel of one form and output dtype.

    Args:
        early: it may start before the grid ahead of it ends (compute capability 9).
        split: the blocks of a cluster share K (compute capability 9).
        team: warps that take turns.
        scale_units: units that share stored scales, 0 for rows; see `cuda_kernels.block_scales`.
    """
    partition, tile_of, slot_of = make_partition(split, team)
    *_, first_loads = make_loads(form, split, scale_units)
    multiply_range, leave = make_loop(form, split, team, scale_units)
    bring, close = make_bring(form, early), make_close(dtype, split, team)
    lane_bytes = u32(4 * form.pairs)

    def gemv(
        weights, tails, scales, bias, x, x_scales, out, per_tile,
        rows, columns, batch, units, row_tiles, cluster_tiles, slice_units, share, stride, shift,
    ):  # fmt: skip
        """out[n, m] = scale[m] sum_k W[m, k] x[n, k] + bias[m].

        weights: uint32[row_tiles, units, 32, 4] words; tails: uint32[row_tiles, units / 4, 32]
        scales, bias: float32[rows], bias 0 for none; x: float16[batch, columns]
        x_scales: float32[batch] or 0; out: dtype[batch, rows]
        cluster_tiles, slice_units: row tiles of a cluster, units of a block's slice of K
        share: units of a team's range; per_tile: 2^32 / slice_units, rounded up
        stride: bytes between rows of activations in shared memory
        shift: 2^shift is at least 4 slice_units, the pieces of a row of activations
        """
        if early:
            start_next_grid()
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        sizes = (units, row_tiles, cluster_tiles, slice_units, share)
        block, place, (begin, end), (i, tile, unit) = partition(sizes, per_tile)
        first_tile, tiles, first, n = block
        slot = slot_of(tile, place)
        # the first loads leave before anything else: weights do not depend on the grid before
        at = u64(u64(u32(first_tile + tile)) * u64(units) + u64(u32(first + unit)))
        at = u64(at * u64(UNIT_BYTES))
        slice_end = (n, u64(u64(units - n) * u64(UNIT_BYTES)))
        pairs = u64(scales + u64(row_tiles) * u64(64) + u64(lane >> u32(2)) * u64(8))
        sources = (u64(weights + u64(lane) * u64(16)), u64(tails + u64(lane) * u64(4)), pairs)
        loaded = first_loads(sources, at, unit, slice_end, i, end)

        x_at = keep(shared_address(cuda.shared.array(0, u32)))
        row_data = u32(x_at + batch * stride)
        slots = u32(row_data + cluster_tiles * u32(128))
        bring((scales, bias, rows), (x, columns, batch, shift, stride), block, (x_at, row_data))
        lane_x = u32(x_at + u32(u32(lane >> u32(2)) % batch) * stride)
        lane_x = u32(lane_x + u32(lane & u32(3)) * lane_bytes)
        mine = u32(slots + slot * u32(SLOT_BYTES) + lane * u32(16))
        sums, mine = multiply_range(loaded, sources, slice_end, (i, unit, end), lane_x, mine)
        if begin < end:  # the last tile of the range, and zeros where this warp had no turn in it
            last = slot_of(tile_of(u32(end - u32(1)), n, per_tile), place)
            while mine <= u32(slots + last * u32(SLOT_BYTES) + lane * u32(16)):
                mine, sums = leave(mine, sums)
        work = (first_tile, tiles, units, slice_units, share, row_data, slots)
        close(work, (rows, batch, x_scales, out))

    return gemv
