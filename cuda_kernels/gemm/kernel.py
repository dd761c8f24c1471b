"""GEMM: out[n, m] = scale[m] * sum_k W[m, k] x[n, k] + bias[m] for a batch of 9 to 64.

A warp owns two row tiles and all columns of the product, so that each fragment of the activations
that it reads serves two tensor-core instructions. A block of up to 16 warps shares the activations,
which pass through shared memory one step of K at a time in two buffers: while one is multiplied,
the next is filled. The blocks of a cluster share K; their sums are added in a fixed order at the
end.
"""

from numba import cuda

from amssim.launch.gemm import buffer_bytes
from amssim.launch.geometry import (
    SLOT_BYTES,
    STEP,
    UNIT_BYTES,
    WARP_TILES,
    Gpu,
    LaunchPlan,
    row_stride,
    starts_early,
)
from cuda_kernels.forms.form import Form
from cuda_kernels.kernel import Arguments, Kernel, KernelProblem, Options
from cuda_kernels.parts.add_groups import make_add_groups
from cuda_kernels.parts.bursts import turned
from cuda_kernels.parts.finish import make_meeting
from cuda_kernels.parts.pairs import make_pairs
from cuda_kernels.parts.rows import make_stage_rows
from cuda_kernels.ptx import (
    contract,
    f32,
    keep,
    load_piece_of,
    load_words_if,
    shared_address,
    start_next_grid,
    store_fragments,
    store_piece_of,
    u32,
    u64,
    wait_for_previous_grid,
)
from cuda_kernels.signature import address, count


def make_step_copies(form: Form, x_tiles: int, warps: int):
    """Make the device functions that bring activations to a buffer, a step of K at a time.

    A thread brings one *piece* of the step after each of the first units that it multiplies, and
    stores it as late as can be, when its load has ended.
    """
    load_piece, store_piece = load_piece_of(form.group), store_piece_of(form.group)
    piece_weights, piece_bytes = form.piece_weights, 4 * form.pairs
    stride, threads, pieces = row_stride(form.group, STEP), 32 * warps, 8 * x_tiles * STEP * 4
    turns = -(-pieces // threads)  # pieces per thread and step
    lag = STEP - turns  # a piece is stored that many units after its load started
    unit_weights = form.unit_weights

    @cuda.jit(device=True, inline="always")
    def piece_of(u, source, unit):
        """(global address, valid columns, place in the buffer, wanted) of a thread's piece."""
        x, k_columns, batch = source
        i = u32(u32(cuda.threadIdx.x) + u32(u * threads))
        row, part = u32(i >> u32(4)), u32(i & u32(15))
        k = u32(unit * u32(unit_weights) + part * u32(piece_weights))
        valid = u32(u32(k_columns - k) * u32(row < batch))
        address = u64(x + u64(2) * (u64(row) * u64(k_columns) + u64(k)))
        place = u32(row * u32(stride) + part * u32(piece_bytes))
        return address, valid, place, u32(i < u32(pieces))

    @cuda.jit(device=True, inline="always")
    def fetch(u, source, unit):
        """Start the load of this thread's piece ``u`` of the step that begins at ``unit``."""
        address, valid, _, _ = piece_of(u, source, unit)
        return load_piece(address, u32(valid * u32(u < turns)))

    @cuda.jit(device=True, inline="always")
    def put(u, piece, source, unit, buffer_at):
        """Store piece ``u``."""
        _, _, place, wanted = piece_of(u, source, unit)
        store_piece(u32(buffer_at + place), piece, u32(wanted * u32(u < turns)))

    @cuda.jit(device=True, inline="always")
    def put_due(u, pieces, source, unit, buffer_at):
        """Store the piece whose load started ``lag`` units before unit ``u``."""
        if u == lag:
            put(0, pieces[0], source, unit, buffer_at)
        if u == lag + 1:
            put(1, pieces[1], source, unit, buffer_at)
        if u == lag + 2:
            put(2, pieces[2], source, unit, buffer_at)
        if u == lag + 3:
            put(3, pieces[3], source, unit, buffer_at)

    @cuda.jit(device=True, inline="always")
    def bring(source, unit, buffer_at):
        """Bring a whole step at once."""
        for u in range(turns):
            put(u, fetch(u, source, unit), source, unit, buffer_at)

    return fetch, put_due, bring


def make_step(form: Form, x_tiles: int, warps: int):
    """Make the device functions that bring the first step, and multiply one and bring the next."""
    decode, (fetch_units, fetch_tails) = form.decode, make_pairs(form)
    multiply = contract(form.pairs, WARP_TILES, x_tiles, 8 * row_stride(form.group, STEP))
    fetch, put_due, bring = make_step_copies(form, x_tiles, warps)
    x_unit_bytes = 16 * form.pairs

    @cuda.jit(device=True, inline="always")
    def turn(u, sums, words, tails, place, x_at):
        """Multiply unit ``u``; fetch its successor, one step ahead, in its place."""
        (above, under), (at, below, more, inside) = words, place
        top = decode(above, turned(tails[0], u))
        above = load_words_if(u64(at + u64(u * UNIT_BYTES)), u32(more * inside[0]))
        bottom = decode(under, turned(tails[1], u))
        under = load_words_if(u64(at + below + u64(u * UNIT_BYTES)), u32(more * inside[1]))
        return multiply(sums, top, bottom, u32(x_at + u32(u * x_unit_bytes))), (above, under)

    @cuda.jit(device=True, inline="always")
    def step(sums, words, tails, place, unit, x_at, source, after):
        """Multiply units unit .. unit + 3 by the buffer at ``x_at``; bring the next to ``after``.

        place: (address one step ahead, bytes to the lower row tile, whether there is one, inside)
        """
        w0, w1, w2, w3 = words
        following = u32(unit + u32(STEP))
        p0 = fetch(0, source, following)
        sums, w0 = turn(0, sums, w0, tails, place, x_at)
        put_due(0, (p0, p0, p0, p0), source, following, after)
        p1 = fetch(1, source, following)
        sums, w1 = turn(1, sums, w1, tails, place, x_at)
        put_due(1, (p0, p1, p1, p1), source, following, after)
        p2 = fetch(2, source, following)
        sums, w2 = turn(2, sums, w2, tails, place, x_at)
        put_due(2, (p0, p1, p2, p2), source, following, after)
        p3 = fetch(3, source, following)
        sums, w3 = turn(3, sums, w3, tails, place, x_at)
        put_due(3, (p0, p1, p2, p3), source, following, after)
        return sums, (w0, w1, w2, w3)

    return step, bring, fetch_units, fetch_tails


def make_gemm(form: Form, dtype: str, *, x_tiles: int, warps: int, early: bool, split: bool):
    """Make the kernel of one form, output dtype and block shape.

    Args:
        x_tiles: column tiles of 8; the batch is at most 8 * x_tiles.
        warps: warps of a block.
        early: it may start before the grid ahead of it ends (compute capability 9).
        split: the blocks of a cluster share K (compute capability 9).
    """
    step, bring, fetch_units, fetch_tails = make_step(form, x_tiles, warps)
    store_sums, stage_rows = store_fragments(WARP_TILES * x_tiles), make_stage_rows()
    meet, wait_for_readers = make_meeting(split)
    add_blocks = make_add_groups(dtype, x_tiles, 1, (x_tiles * SLOT_BYTES, 0), split)
    stride, piece_bytes = row_stride(form.group, STEP), 4 * form.pairs
    buffer, block_tiles = buffer_bytes(form.group, x_tiles), WARP_TILES * warps
    zeros = (f32(0),) * (4 * WARP_TILES * x_tiles)

    def gemm(
        weights: address, tails: address, scales: address, bias: address,
        x: address, x_scales: address, out: address,
        rows: count, k_columns: count, batch: count, units: count, row_tiles: count,
        slice_units: count,
    ):  # fmt: skip
        """out[n, m] = scale[m] sum_k W[m, k] x[n, k] + bias[m].

        weights: uint32[row_tiles, units, 32, 4] words; tails: uint32[row_tiles, units / 4, 32]
        scales, bias: float32[rows], bias 0 for none; x: float16[batch, k_columns]
        x_scales: float32[batch] or 0; out: dtype[batch, rows]
        slice_units: units of a block's slice of K, whole steps
        """
        if early:
            start_next_grid()
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        warp = u32(u32(cuda.threadIdx.x) >> u32(5))
        first_tile = u32(u32(cuda.blockIdx.y) * u32(block_tiles))
        tile, first_row = u32(first_tile + warp * u32(WARP_TILES)), u32(first_tile * u32(16))
        unit = u32(u32(cuda.blockIdx.x) * slice_units)
        end = u32(min(units, u32(unit + slice_units)))
        inside = (u32(tile < row_tiles), u32(u32(tile + u32(1)) < row_tiles))
        at = u64((u64(tile) * u64(units) + u64(unit)) * u64(UNIT_BYTES))
        below = u64(u64(units) * u64(UNIT_BYTES))
        words = u64(weights + u64(lane) * u64(16))
        shared_bits = u64(tails + u64(lane) * u64(4))
        tails_now = fetch_tails(shared_bits, at, below, u32(1), inside)
        loaded = fetch_units(u64(words + at), below, u32(unit < end), inside)

        row_data = keep(shared_address(cuda.shared.array(0, u32)))
        stage_rows(scales, bias, first_row, rows, u32(block_tiles * 16), row_data)
        now = u32(row_data + u32(block_tiles * 128))
        slots, after = now, u32(now + u32(buffer))
        if early:
            wait_for_previous_grid()
        source = (x, k_columns, batch)
        bring(source, unit, now)
        cuda.syncthreads()

        lane_x = u32(u32(lane >> u32(2)) * u32(stride) + u32(lane & u32(3)) * u32(piece_bytes))
        sums = zeros
        while unit < end:
            at = u64(at + u64(STEP * UNIT_BYTES))
            more = u32(u32(unit + u32(STEP)) < end)
            coming = fetch_tails(shared_bits, at, below, more, inside)
            place, x_at = (u64(words + at), below, more, inside), u32(now + lane_x)
            sums, loaded = step(sums, loaded, tails_now, place, unit, x_at, source, after)
            tails_now = coming
            now, after = after, now
            unit = u32(unit + u32(STEP))
            cuda.syncthreads()

        mine = u32(slots + warp * u32(WARP_TILES * x_tiles * SLOT_BYTES) + lane * u32(16))
        store_sums(mine, sums)
        target = (rows, batch, x_scales, out)
        meet()
        add_blocks(slots, u32(block_tiles), row_data, first_row, target)
        wait_for_readers()

    return gemm


def options_of(plan: LaunchPlan, problem: KernelProblem, gpu: Gpu) -> Options:
    """What `make_gemm` makes for a plan."""
    early, split = starts_early(gpu), plan.splits > 1
    return {"x_tiles": plan.columns // 8, "warps": plan.warps, "early": early, "split": split}


def arguments_of(plan: LaunchPlan, problem: KernelProblem) -> Arguments:
    """The arguments that a plan gives."""
    return {"slice_units": plan.slice_units}


KERNEL = Kernel(make_gemm, options_of, arguments_of)
