"""GEMM: out[n, m] = scale[m] * sum_k W[m, k] x[n, k] + bias[m] for a batch of 9 to 64.

A warp owns two row tiles and all columns, so that each fragment of the activations that it reads
serves two tensor-core instructions. A block of up to 16 warps shares the activations, which pass
through shared memory one step of K at a time in two buffers: while one is multiplied, the next is
filled. The blocks of a cluster share K; their sums are added in a fixed order at the end.
"""

from numba import cuda

from cuda_kernels.add_up import SLOT_BYTES, make_add_groups
from cuda_kernels.forms import UNIT_BYTES, Form
from cuda_kernels.ptx import (
    DECODE,
    LOAD_PIECE,
    STORE_PIECE,
    cluster_barrier,
    contract,
    f32,
    keep,
    load_word_if,
    load_words_if,
    shared_address,
    start_next_grid,
    store_fragments,
    u32,
    u64,
    wait_for_previous_grid,
)
from cuda_kernels.stage import make_stage_rows, row_stride

STEP = 4  # units of K between barriers
WARP_TILES = 2


def tile_bytes(form: Form, columns: int) -> int:
    """Bytes of one buffer of activations for ``columns`` column tiles."""
    return 8 * columns * row_stride(form, STEP)


def make_gemm(form: Form, dtype: str, *, columns: int, warps: int, early: bool, split: bool):
    """Make the kernel of one form, output dtype and block shape.

    Args:
        columns: column tiles of 8; the batch is at most 8 * columns.
        warps: warps of a block.
        early: it may start before the grid ahead of it ends (compute capability 9).
        split: the blocks of a cluster share K (compute capability 9).
    """
    decode, load_piece, store_piece = DECODE[form], LOAD_PIECE[form], STORE_PIECE[form]
    stride = row_stride(form, STEP)
    multiply = contract(form.pairs, WARP_TILES, columns, 8 * stride)
    store_sums, stage_rows = store_fragments(WARP_TILES * columns), make_stage_rows()
    add_blocks = make_add_groups(dtype, WARP_TILES * warps, columns, 1, split)
    has_tails, threads = form.has_tails, 32 * warps
    unit_weights, unit_bytes, piece_bytes = form.unit_weights, 16 * form.pairs, 4 * form.pairs
    piece_weights, buffer = form.piece_weights, tile_bytes(form, columns)
    pieces = 8 * columns * STEP * 4
    turns = -(-pieces // threads)  # pieces per thread and step
    lag = STEP - turns  # a piece is stored that many units after its load started
    zeros = (f32(0),) * (4 * WARP_TILES * columns)

    @cuda.jit(device=True, inline="always")
    def piece_of(u, source, unit):
        """(global address, valid columns, place in the buffer, wanted) of a thread's piece."""
        x, x_columns, batch = source
        i = u32(u32(cuda.threadIdx.x) + u32(u * threads))
        row, part = u32(i >> u32(4)), u32(i & u32(15))
        k = u32(unit * u32(unit_weights) + part * u32(piece_weights))
        valid = u32(u32(x_columns - k) * u32(row < batch))
        address = u64(x + u64(2) * (u64(row) * u64(x_columns) + u64(k)))
        place = u32(row * u32(stride) + part * u32(piece_bytes))
        return address, valid, place, u32(i < u32(pieces))

    @cuda.jit(device=True, inline="always")
    def first_words(u, at, below, inside, unit, end):
        """Start the loads of unit ``u`` of the first step."""
        more = u32(u32(unit + u32(u)) < end)
        above = load_words_if(u64(at + u64(u * UNIT_BYTES)), u32(more * inside[0]))
        return above, load_words_if(u64(at + below + u64(u * UNIT_BYTES)), u32(more * inside[1]))

    @cuda.jit(device=True, inline="always")
    def fetch(u, source, unit):
        """Start the load of this thread's piece ``u`` of the activations of a step."""
        address, valid, _, _ = piece_of(u, source, unit)
        return load_piece(address, u32(valid * u32(u < turns)))

    @cuda.jit(device=True, inline="always")
    def put(u, piece, source, unit, buffer_at):
        """Store piece ``u``."""
        _, _, place, wanted = piece_of(u, source, unit)
        store_piece(u32(buffer_at + place), piece, u32(wanted * u32(u < turns)))

    @cuda.jit(device=True, inline="always")
    def turn(u, sums, above, under, tails, place, end, inside, unit, x_at):
        """Multiply unit ``u`` of the step; fetch its successor one step ahead in its place."""
        words, below = place
        more = u32(u32(unit + u32(STEP + u)) < end)
        left, right = u32(4 * u), u32((32 - 4 * u) % 32)
        top = decode(above, u32((tails[0] >> left) | (tails[0] << right)))
        above = load_words_if(u64(words + u64(u * UNIT_BYTES)), u32(more * inside[0]))
        bottom = decode(under, u32((tails[1] >> left) | (tails[1] << right)))
        under = load_words_if(u64(words + below + u64(u * UNIT_BYTES)), u32(more * inside[1]))
        sums = multiply(sums, top, bottom, u32(x_at + u32(u * unit_bytes)))
        return sums, above, under

    def gemm(
        weights, tails, scales, bias, x, x_scales, out,
        rows, x_columns, batch, units, row_tiles, slice_units,
    ):  # fmt: skip
        """out[n, m] = scale[m] sum_k W[m, k] x[n, k] + bias[m].

        weights: uint32[row_tiles, units, 32, 4] words; tails: uint32[row_tiles, units / 4, 32]
        scales, bias: float32[rows], bias 0 for none; x: float16[batch, x_columns]
        x_scales: float32[batch] or 0; out: dtype[batch, rows]
        slice_units: units of a block's slice of K, whole steps
        """
        if early:
            start_next_grid()
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        warp = u32(u32(cuda.threadIdx.x) >> u32(5))
        tile = u32(u32(u32(cuda.blockIdx.y) * u32(warps) + warp) * u32(WARP_TILES))
        unit = u32(u32(cuda.blockIdx.x) * slice_units)
        end = u32(min(units, u32(unit + slice_units)))
        in0, in1 = u32(tile < row_tiles), u32(u32(tile + u32(1)) < row_tiles)
        at = u64((u64(tile) * u64(units) + u64(unit)) * u64(UNIT_BYTES))
        below = u64(u64(units) * u64(UNIT_BYTES))
        words = u64(weights + u64(lane) * u64(16))
        shared_bits = u64(tails + u64(lane) * u64(4))

        tails01 = coming = (u32(0), u32(0))
        if has_tails:
            tails01 = (
                load_word_if(u64(shared_bits + (at >> u64(4))), in0),
                load_word_if(u64(shared_bits + (u64(at + below) >> u64(4))), in1),
            )
        inside, first = (in0, in1), u64(words + at)
        v0, w0 = first_words(0, first, below, inside, unit, end)
        v1, w1 = first_words(1, first, below, inside, unit, end)
        v2, w2 = first_words(2, first, below, inside, unit, end)
        v3, w3 = first_words(3, first, below, inside, unit, end)

        row_data = keep(shared_address(cuda.shared.array(0, u32)))
        first_row = u32(u32(cuda.blockIdx.y) * u32(warps * WARP_TILES * 16))
        stage_rows(scales, bias, first_row, rows, u32(warps * WARP_TILES * 16), row_data)
        now = u32(row_data + u32(warps * WARP_TILES * 128))
        slots, after = now, u32(now + u32(buffer))
        if early:
            wait_for_previous_grid()
        source = (x, x_columns, batch)
        for u in range(turns):
            put(u, fetch(u, source, unit), source, unit, now)
        cuda.syncthreads()

        lane_x = u32(u32(lane >> u32(2)) * u32(stride) + u32(lane & u32(3)) * u32(piece_bytes))
        sums = zeros
        while unit < end:
            at = u64(at + u64(STEP * UNIT_BYTES))
            if has_tails:
                more = u32(u32(unit + u32(STEP)) < end)
                coming = (
                    load_word_if(u64(shared_bits + (at >> u64(4))), u32(more * in0)),
                    load_word_if(u64(shared_bits + (u64(at + below) >> u64(4))), u32(more * in1)),
                )
            place, x_now = (u64(words + at), below), u32(now + lane_x)
            following = u32(unit + u32(STEP))
            p0 = fetch(0, source, following)
            sums, v0, w0 = turn(0, sums, v0, w0, tails01, place, end, inside, unit, x_now)
            if lag == 0:
                put(0, p0, source, following, after)
            p1 = fetch(1, source, following)
            sums, v1, w1 = turn(1, sums, v1, w1, tails01, place, end, inside, unit, x_now)
            if lag == 1:
                put(0, p0, source, following, after)
            if lag == 0:
                put(1, p1, source, following, after)
            p2 = fetch(2, source, following)
            sums, v2, w2 = turn(2, sums, v2, w2, tails01, place, end, inside, unit, x_now)
            if lag == 2:
                put(0, p0, source, following, after)
            if lag == 1:
                put(1, p1, source, following, after)
            if lag == 0:
                put(2, p2, source, following, after)
            p3 = fetch(3, source, following)
            sums, v3, w3 = turn(3, sums, v3, w3, tails01, place, end, inside, unit, x_now)
            if lag == 3:
                put(0, p0, source, following, after)
            if lag == 2:
                put(1, p1, source, following, after)
            if lag == 1:
                put(2, p2, source, following, after)
            if lag == 0:
                put(3, p3, source, following, after)
            tails01 = coming
            now, after = after, now
            unit = u32(unit + u32(STEP))
            cuda.syncthreads()

        store_sums(
            u32(slots + warp * u32(WARP_TILES * columns * SLOT_BYTES) + lane * u32(16)), sums
        )
        if split:
            cluster_barrier()
        else:
            cuda.syncthreads()
        tiles, target = u32(WARP_TILES * warps), (rows, batch, x_scales, out)
        add_blocks(slots, tiles, row_data, first_row, target)
        if split:
            cluster_barrier()  # a block's shared memory must outlive its readers

    return gemm
