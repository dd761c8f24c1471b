"""GEMV: out[n, m] = scale[m] * sum_k W[m, k] x[n, k] + bias[m] for a batch of 1 to 8.

A cluster of blocks owns a range of row tiles, each of its blocks a slice of K, and a block's
slice of the activations stays in shared memory. The block's units, row tile by row tile, are one
list that its warps share evenly, each a contiguous range: every warp streams without a barrier,
whatever the shape. Where a warp leaves a row tile it puts its sums into shared memory; at the end
these are added in a fixed order, so that the result is deterministic.
"""

from numba import cuda

from cuda_kernels.finish import make_finish
from cuda_kernels.forms import UNIT_BYTES, Form
from cuda_kernels.ptx import (
    DECODE,
    LOAD_PIECE,
    STORE_PIECE,
    cluster_barrier,
    contract,
    f32,
    keep,
    load_cluster,
    load_shared,
    load_word_if,
    load_words_if,
    shared_address,
    start_next_grid,
    store_shared,
    u32,
    u64,
    wait_for_previous_grid,
)

RING = 4  # 16-byte loads in flight per lane
SLOT_BYTES = 512  # the sums of one row tile: 16 rows x 8 columns, float32


def row_stride(form: Form, units: int) -> int:
    """Bytes between rows of activations in shared memory such that lanes meet no bank twice."""
    payload = 16 * form.pairs * units
    return -(-payload // 128) * 128 + (16 if form.group == 4 else 32)


def make_stage(form: Form):
    """Make the device function that brings a slice of the activations to shared memory."""
    load_piece, store_piece = LOAD_PIECE[form], STORE_PIECE[form]
    piece_weights, piece_bytes = form.piece_weights, 4 * form.pairs

    @cuda.jit(device=True, inline="always")
    def stage(x, columns, batch, first_column, pieces, at, stride):
        """shared[n] = x[n, first_column:], zero past the end; two pieces in flight per thread."""
        threads, total = u32(cuda.blockDim.x), u32(batch * pieces)
        base = u32(0)
        while base < total:
            i = u32(base + u32(cuda.threadIdx.x))
            j = u32(i + threads)
            row_i, row_j = u32(i // pieces), u32(j // pieces)
            p_i, p_j = u32(i - row_i * pieces), u32(j - row_j * pieces)
            k_i = u32(first_column + p_i * u32(piece_weights))
            k_j = u32(first_column + p_j * u32(piece_weights))
            in_i, in_j = u32(i < total), u32(j < total)
            from_i = u64(x + u64(2) * (u64(row_i) * u64(columns) + u64(k_i)))
            from_j = u64(x + u64(2) * (u64(row_j) * u64(columns) + u64(k_j)))
            piece_i = load_piece(from_i, u32(u32(columns - k_i) * in_i))
            piece_j = load_piece(from_j, u32(u32(columns - k_j) * in_j))
            store_piece(u32(at + row_i * stride + p_i * u32(piece_bytes)), piece_i, in_i)
            store_piece(u32(at + row_j * stride + p_j * u32(piece_bytes)), piece_j, in_j)
            base = u32(base + u32(2) * threads)

    return stage


@cuda.jit(device=True, inline="always")
def slice_start(rank, splits, units, step):
    """First unit of the slice of K that block ``rank`` of a cluster owns; whole steps."""
    return u32(u32(u32(units // step) * rank) // splits * step)


@cuda.jit(device=True, inline="always")
def units_per_warp(total, step):
    """Length of the range of units that each warp of the block takes; whole steps."""
    warps = u32(u32(cuda.blockDim.x) >> u32(5))
    share = u32(u32(total + warps - u32(1)) // warps)
    return u32(u32(share + step - u32(1)) // step * step)


def make_add_up(form: Form, dtype: str, split: bool):
    """Make the device function that adds the partial sums of each row tile and stores them."""
    finish, step = make_finish(dtype), u32(form.step)

    @cuda.jit(device=True, inline="always")
    def add_up(slots, first_tile, tiles, units, splits, rank, target):
        """out = the slots of each row tile, summed in the order of (slice of K, warp)."""
        warps = u32(u32(cuda.blockDim.x) >> u32(5))
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        j = u32(rank * warps + (u32(cuda.threadIdx.x) >> u32(5)))
        while j < tiles:
            s0, s1, s2, s3 = f32(0), f32(0), f32(0), f32(0)
            r = u32(0)
            while r < splits:
                stop = slice_start(u32(r + u32(1)), splits, units, step)
                n = u32(stop - slice_start(r, splits, units, step))
                share = units_per_warp(u32(tiles * n), step)
                w, last = u32(u32(j * n) // share), u32(u32(j * n + n - u32(1)) // share)
                while w <= last:
                    at = u32(slots + u32(w + j) * u32(SLOT_BYTES) + lane * u32(16))
                    part = load_cluster(at, r) if split else load_shared(at)
                    s0, s1 = f32(s0 + part[0]), f32(s1 + part[1])
                    s2, s3 = f32(s2 + part[2]), f32(s3 + part[3])
                    w = u32(w + u32(1))
                r = u32(r + u32(1))
            finish((s0, s1, s2, s3), u32(first_tile + j), u32(0), target)
            j = u32(j + splits * warps)

    return add_up


def make_gemv(form: Form, dtype: str, *, early: bool, split: bool, burst: bool = False):
    """Make the kernel of one form and output dtype.

    Args:
        early: it may start before the grid ahead of it ends (compute capability 9).
        split: the blocks of a cluster share K (compute capability 9).
    """
    decode, multiply = DECODE[form], contract(form.pairs)
    stage, add_up = make_stage(form), make_add_up(form, dtype, split)
    has_tails, step = form.has_tails, u32(form.step)
    unit_weights, unit_bytes = u32(form.unit_weights), u32(16 * form.pairs)
    zeros = (f32(0), f32(0), f32(0), f32(0))

    def gemv(
        weights, tails, scales, bias, x, x_scales, out,
        rows, columns, batch, units, row_tiles, cluster_tiles, splits, stride,
    ):  # fmt: skip
        """out[n, m] = scale[m] sum_k W[m, k] x[n, k] + bias[m].

        weights: uint32[row_tiles, units, 32, 4] words; tails: uint32[row_tiles, units / 4, 32]
        scales, bias: float32[rows], bias 0 for none; x: float16[batch, columns]
        x_scales: float32[batch] or 0; out: dtype[batch, rows]; stride: bytes, see `row_stride`
        """
        if early:
            start_next_grid()
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        warp = u32(u32(cuda.threadIdx.x) >> u32(5))
        cluster = u32(u32(cuda.blockIdx.x) // splits)
        rank = u32(u32(cuda.blockIdx.x) - cluster * splits)
        first_tile = u32(cluster * cluster_tiles)
        tiles = u32(min(cluster_tiles, u32(row_tiles - first_tile)))
        first = slice_start(rank, splits, units, step)
        n = u32(slice_start(u32(rank + u32(1)), splits, units, step) - first)
        share = units_per_warp(u32(tiles * n), step)
        begin = u32(min(u32(tiles * n), u32(warp * share)))
        end = u32(min(u32(tiles * n), u32(begin + share)))

        # the first loads leave before anything else: weights do not depend on the grid before
        tile = u32(begin // n)
        unit = u32(begin - tile * n)
        place = u64(u64(first_tile + tile) * u64(units) + u64(first + unit))
        at = u64(place * u64(UNIT_BYTES))  # of the next unit to fetch
        jump, left = u64(u64(units - n) * u64(UNIT_BYTES)), u32(n - unit)
        words = u64(weights + u64(lane) * u64(16))
        shared_bits = u64(tails + u64(lane) * u64(4))
        tail, coming = u32(0), u32(0)
        if has_tails:
            tail = load_word_if(u64(shared_bits + (at >> u64(4))), u32(begin < end))
        w0 = load_words_if(u64(words + at), u32(begin < end))
        w1, w2, w3 = w0, w0, w0
        for u in range(1, RING):
            at, left = u64(at + u64(UNIT_BYTES)), u32(left - u32(1))
            if split and left == u32(0):
                at, left = u64(at + jump), n
            w1, w2, w3 = w2, w3, load_words_if(u64(words + at), u32(begin + u32(u) < end))
        if early:
            wait_for_previous_grid()

        x_at = keep(shared_address(cuda.shared.array(0, u32)))
        slots = u32(x_at + batch * stride)
        stage(x, columns, batch, u32(first * unit_weights), u32(n * u32(4)), x_at, stride)
        cuda.syncthreads()

        lane_x = u32(x_at + u32(u32(lane >> u32(2)) % batch) * stride)
        lane_x = u32(lane_x + u32(lane & u32(3)) * u32(unit_bytes >> u32(2)))
        x_now = u32(lane_x + unit * unit_bytes)
        mine = u32(slots + u32(warp + tile) * u32(SLOT_BYTES) + lane * u32(16))
        sums = zeros
        i = begin
        while i < end:
            for u in range(RING):
                if not burst:
                    at, left = u64(at + u64(UNIT_BYTES)), u32(left - u32(1))
                    if split and left == u32(0):
                        at, left = u64(at + jump), n
                    if has_tails and u == 0:
                        coming = load_word_if(
                            u64(shared_bits + (at >> u64(4))), u32(u32(i + u32(RING)) < end)
                        )
                fragments = decode(w0, tail)
                if burst:
                    w0, w1, w2, w3 = w1, w2, w3, w0
                else:
                    more = u32(u32(i + u32(RING)) < end)
                    w0, w1, w2, w3 = w1, w2, w3, load_words_if(u64(words + at), more)
                tail = u32((tail >> u32(4)) | (tail << u32(28)))
                if has_tails or i < end:  # with tails, ranges are whole steps of four units
                    sums = multiply(sums, fragments, x_now)
                    unit, x_now = u32(unit + u32(1)), u32(x_now + unit_bytes)
                    if unit == n:
                        store_shared(mine, sums)
                        sums, unit, x_now = zeros, u32(0), lane_x
                        mine = u32(mine + u32(SLOT_BYTES))
                i = u32(i + u32(1))
            if burst:
                for u in range(RING):
                    at, left = u64(at + u64(UNIT_BYTES)), u32(left - u32(1))
                    if split and left == u32(0):
                        at, left = u64(at + jump), n
                    if has_tails and u == 0:
                        coming = load_word_if(u64(shared_bits + (at >> u64(4))), u32(i < end))
                    more = u32(u32(i + u32(u)) < end)
                    w0, w1, w2, w3 = w1, w2, w3, load_words_if(u64(words + at), more)
            tail = coming
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

    return gemv
