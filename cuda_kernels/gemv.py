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
from cuda_kernels.stage import make_stage, make_stage_rows

BURST = 4  # units that a warp takes at a time: 16-byte loads in flight per lane
SLOT_BYTES = 512  # the sums of one row tile: 16 rows x 8 columns, float32


def make_gemv(form: Form, dtype: str, *, early: bool, split: bool, team: int):
    """Make the kernel of one form and output dtype.

    Args:
        early: it may start before the grid ahead of it ends (compute capability 9).
        split: the blocks of a cluster share K (compute capability 9).
        team: warps that take turns.
    """
    decode, multiply = DECODE[form], contract(form.pairs)
    stage, stage_rows = make_stage(form), make_stage_rows()
    add_up = make_add_up(dtype, split, team)
    has_tails = form.has_tails
    unit_weights, unit_bytes = u32(form.unit_weights), u32(16 * form.pairs)
    stride_units, others = u32(BURST * team), u32(BURST * (team - 1))
    zeros = (f32(0), f32(0), f32(0), f32(0))

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
        warp = u32(u32(cuda.threadIdx.x) >> u32(5))
        mate, team_number = u32(warp % u32(team)), u32(warp // u32(team))
        first_tile = u32(u32(cuda.blockIdx.y) * cluster_tiles)
        tiles = u32(min(cluster_tiles, u32(row_tiles - first_tile)))
        first = u32(u32(cuda.blockIdx.x) * slice_units)
        n = u32(min(slice_units, u32(units - first)))
        total = u32(tiles * n)
        begin = u32(min(total, u32(team_number * share)))
        end = u32(min(total, u32(begin + share)))
        tile = u32(begin // n) if split else u32((u64(begin) * per_tile) >> u64(32))
        slot = u32(u32(team_number + tile) * u32(team) + mate)

        # the first loads leave before anything else: weights do not depend on the grid before
        i = u32(begin + mate * u32(BURST))
        unit = u32(i - tile * n)  # may lie past the tile's end: the loop sees to that
        tile = u32(tile + first_tile)
        at = u64((u64(tile) * u64(units) + u64(first + unit)) * u64(UNIT_BYTES))
        jump = u64(u64(units - n) * u64(UNIT_BYTES))
        words = u64(weights + u64(lane) * u64(16))
        shared_bits = u64(tails + u64(lane) * u64(4))
        ahead = unit
        if split and ahead >= n:
            ahead, at = u32(ahead - n), u64(at + jump)
        tail, coming = u32(0), u32(0)
        if has_tails:
            tail = load_word_if(u64(shared_bits + (at >> u64(4))), u32(i < end))
        w0 = load_words_if(u64(words + at), u32(i < end))
        w1, w2, w3 = w0, w0, w0
        for u in range(1, BURST):
            at, ahead = u64(at + u64(UNIT_BYTES)), u32(ahead + u32(1))
            if split and ahead == n:
                at, ahead = u64(at + jump), u32(0)
            w1, w2, w3 = w2, w3, load_words_if(u64(words + at), u32(i + u32(u) < end))

        x_at = keep(shared_address(cuda.shared.array(0, u32)))
        row_data = u32(x_at + batch * stride)
        slots = u32(row_data + cluster_tiles * u32(128))
        stage_rows(scales, bias, u32(first_tile * u32(16)), rows, u32(tiles * u32(16)), row_data)
        if early:
            wait_for_previous_grid()
        source = (x, columns, batch, u32(first * unit_weights))
        stage(source, u32(n * u32(4)), shift, x_at, stride)
        cuda.syncthreads()

        lane_x = u32(x_at + u32(u32(lane >> u32(2)) % batch) * stride)
        lane_x = u32(lane_x + u32(lane & u32(3)) * u32(unit_bytes >> u32(2)))
        mine = u32(slots + slot * u32(SLOT_BYTES) + lane * u32(16))
        sums = zeros
        while i < end:
            if unit >= n:  # the range goes on in the next row tile
                store_shared(mine, sums)
                mine = u32(mine + u32(team * SLOT_BYTES))
                sums, unit = zeros, u32(unit - n)
            x_now = u32(lane_x + unit * unit_bytes)
            at, ahead = u64(at + u64(others) * u64(UNIT_BYTES)), u32(ahead + others)
            if split and ahead >= n:
                at, ahead = u64(at + jump), u32(ahead - n)
            for u in range(BURST):
                at, ahead = u64(at + u64(UNIT_BYTES)), u32(ahead + u32(1))
                if split and ahead == n:
                    at, ahead = u64(at + jump), u32(0)
                more = u32(u32(i + stride_units) < end)
                if has_tails and u == 0:
                    coming = load_word_if(u64(shared_bits + (at >> u64(4))), more)
                fragments = decode(w0, tail)
                w0, w1, w2, w3 = w1, w2, w3, load_words_if(u64(words + at), more)
                tail = u32((tail >> u32(4)) | (tail << u32(28)))
                if has_tails or i < end:  # with tails, ranges are whole bursts
                    if not has_tails and unit == n:
                        store_shared(mine, sums)
                        mine = u32(mine + u32(team * SLOT_BYTES))
                        sums, unit, x_now = zeros, u32(0), lane_x
                    sums = multiply(sums, fragments, x_now)
                unit, x_now, i = u32(unit + u32(1)), u32(x_now + unit_bytes), u32(i + u32(1))
            tail = coming
            i, unit = u32(i + others), u32(unit + others)
        # the last tile of the range, and zeros where this warp had no turn in it
        if begin < end:
            last = u32(end - u32(1))
            last = u32(last // n) if split else u32((u64(last) * per_tile) >> u64(32))
            stop = u32(slots + u32((last + team_number) * u32(team) + mate) * u32(SLOT_BYTES))
            while mine <= u32(stop + lane * u32(16)):
                store_shared(mine, sums)
                mine, sums = u32(mine + u32(team * SLOT_BYTES)), zeros

        if split:
            cluster_barrier()
        else:
            cuda.syncthreads()
        work = (first_tile, tiles, units, slice_units, share, row_data, slots)
        add_up(work, (rows, batch, x_scales, out))
        if split:
            cluster_barrier()  # a block's shared memory must outlive its readers

    return gemv
