"""GEMV as in `cuda_kernels.gemv`, with weights that arrive in shared memory by bulk copies.

Each warp owns a ring of buffers and the barriers that count their bytes, so that no warp waits
for another. The copies of a grid's first units start before the grid ahead of it has ended: they
are weights, and depend on nothing.
"""

from numba import cuda

from cuda_kernels.forms import UNIT_BYTES, Form
from cuda_kernels.gemv import SLOT_BYTES, make_add_up, make_stage, slice_start, units_per_warp
from cuda_kernels.ptx import (
    DECODE,
    barrier_init,
    barrier_wait,
    cluster_barrier,
    contract,
    f32,
    fetch,
    keep,
    load_shared_word,
    load_shared_words,
    shared_address,
    start_next_grid,
    store_shared,
    u32,
    u64,
    wait_for_previous_grid,
)

BURST = 4  # units of one bulk copy


def buffer_bytes(form: Form) -> int:
    """Bytes of one buffer of a ring."""
    return BURST * UNIT_BYTES + (128 if form.has_tails else 0)


def make_fetch(form: Form):
    """Make the device function that starts the copy of a warp's next units."""
    has_tails = form.has_tails

    @cuda.jit(device=True, inline="always")
    def fetch_next(weights, tails, barrier, buffer, at, left, n, jump, wanted):
        """Copy min(BURST, wanted) units from byte ``at``; return the next (at, left).

        ``left`` units remain of the row tile's slice of n; ``jump`` bytes lie between slices.
        """
        count = u32(min(u32(BURST), wanted))
        run = u32(min(count, left))
        start = u64(weights + at)
        shared_bits = u64(tails + (at >> u64(4)))
        left, at = u32(left - run), u64(at + u64(run) * u64(UNIT_BYTES))
        if left == u32(0):
            left, at = n, u64(at + jump)
        rest = u32(count - run)
        lane0 = u32(u32(u32(cuda.threadIdx.x) & u32(31)) == u32(0)) * u32(count > u32(0))
        size = u32(run * u32(UNIT_BYTES))
        if has_tails:
            fetch(barrier, buffer, start, size, shared_bits, u32(128), lane0)
        else:
            fetch(barrier, buffer, start, size, u64(weights + at), u32(rest * u32(UNIT_BYTES)), lane0)
            left, at = u32(left - rest), u64(at + u64(rest) * u64(UNIT_BYTES))
        return at, left

    return fetch_next


def make_gemv_bulk(form: Form, dtype: str, *, split: bool, depth: int):
    """Make the kernel of one form and output dtype, for compute capability 9 and later.

    Args:
        split: the blocks of a cluster share K.
        depth: buffers in the ring of a warp.
    """
    decode, multiply, fetch_next = DECODE[form], contract(form.pairs), make_fetch(form)
    stage, add_up = make_stage(form), make_add_up(form, dtype, split)
    has_tails, step, size = form.has_tails, u32(form.step), u32(buffer_bytes(form))
    unit_weights, unit_bytes = u32(form.unit_weights), u32(16 * form.pairs)
    zeros = (f32(0), f32(0), f32(0), f32(0))

    def gemv_bulk(
        weights, tails, scales, bias, x, x_scales, out,
        rows, columns, batch, units, row_tiles, cluster_tiles, splits, stride,
    ):  # fmt: skip
        """out[n, m] = scale[m] sum_k W[m, k] x[n, k] + bias[m].

        weights: uint32[row_tiles, units, 32, 4] words; tails: uint32[row_tiles, units / 4, 32]
        scales, bias: float32[rows], bias 0 for none; x: float16[batch, columns]
        x_scales: float32[batch] or 0; out: dtype[batch, rows]; stride: bytes, see `row_stride`
        """
        start_next_grid()
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        warp = u32(u32(cuda.threadIdx.x) >> u32(5))
        warps = u32(u32(cuda.blockDim.x) >> u32(5))
        cluster = u32(u32(cuda.blockIdx.x) // splits)
        rank = u32(u32(cuda.blockIdx.x) - cluster * splits)
        first_tile = u32(cluster * cluster_tiles)
        tiles = u32(min(cluster_tiles, u32(row_tiles - first_tile)))
        first = slice_start(rank, splits, units, step)
        n = u32(slice_start(u32(rank + u32(1)), splits, units, step) - first)
        share = units_per_warp(u32(tiles * n), step)
        begin = u32(min(u32(tiles * n), u32(warp * share)))
        end = u32(min(u32(tiles * n), u32(begin + share)))
        tile = u32(begin // n)
        unit = u32(begin - tile * n)

        ring = u32(keep(shared_address(cuda.shared.array(0, u32))) + warp * u32(depth) * size)
        barriers = u32(ring + (warps - warp) * u32(depth) * size + warp * u32(8 * depth))
        x_at = u32(ring + (warps - warp) * u32(depth) * size + warps * u32(8 * depth))
        x_at = u32((x_at + u32(15)) & u32(0xFFFFFFF0))
        slots = u32(x_at + batch * stride)
        place = u64(u64(first_tile + tile) * u64(units) + u64(first + unit))
        at, left = u64(place * u64(UNIT_BYTES)), u32(n - unit)
        jump = u64(u64(units - n) * u64(UNIT_BYTES))
        lane0, to_fetch = u32(lane == u32(0)), begin
        for d in range(depth):
            barrier_init(u32(barriers + u32(8 * d)), lane0)
        for d in range(depth):
            at, left = fetch_next(weights, tails, u32(barriers + u32(8 * d)),
                                  u32(ring + u32(d) * size), at, left, n, jump,
                                  u32(end - to_fetch))
            to_fetch = u32(min(end, u32(to_fetch + u32(BURST))))
        wait_for_previous_grid()
        stage(x, columns, batch, u32(first * unit_weights), u32(n * u32(4)), x_at, stride)
        cuda.syncthreads()

        lane_x = u32(x_at + u32(u32(lane >> u32(2)) % batch) * stride)
        lane_x = u32(lane_x + u32(lane & u32(3)) * u32(unit_bytes >> u32(2)))
        x_now = u32(lane_x + unit * unit_bytes)
        mine = u32(slots + u32(warp + tile) * u32(SLOT_BYTES) + lane * u32(16))
        sums, tail = zeros, u32(0)
        d, parity = u32(0), u32(0)
        i = begin
        while i < end:
            buffer, barrier = u32(ring + d * size), u32(barriers + u32(8) * d)
            barrier_wait(barrier, parity)
            if has_tails:
                tail = load_shared_word(u32(buffer + u32(BURST * UNIT_BYTES) + lane * u32(4)))
            for u in range(BURST):
                words = load_shared_words(u32(buffer + u32(u * UNIT_BYTES) + lane * u32(16)))
                fragments = decode(words, tail)
                tail = u32((tail >> u32(4)) | (tail << u32(28)))
                if has_tails or i < end:
                    sums = multiply(sums, fragments, x_now)
                    unit, x_now = u32(unit + u32(1)), u32(x_now + unit_bytes)
                    if unit == n:
                        store_shared(mine, sums)
                        sums, unit, x_now = zeros, u32(0), lane_x
                        mine = u32(mine + u32(SLOT_BYTES))
                i = u32(i + u32(1))
            cuda.syncwarp()  # all lanes have read the buffer that is filled anew
            at, left = fetch_next(
                weights, tails, barrier, buffer, at, left, n, jump, u32(end - to_fetch)
            )
            to_fetch = u32(min(end, u32(to_fetch + u32(BURST))))
            d = u32(d + u32(1))
            if d == u32(depth):
                d, parity = u32(0), u32(parity ^ u32(1))
        if begin < end and unit != u32(0):
            store_shared(mine, sums)

        if split:
            cluster_barrier()
        else:
            cuda.syncthreads()
        target = (rows, batch, scales, bias, x_scales, out)
        add_up(slots, first_tile, tiles, units, splits, rank, target)
        if split:
            cluster_barrier()  # a block's shared memory must outlive its readers

    return gemv_bulk
