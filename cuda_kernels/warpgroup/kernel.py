"""GEMM on Hopper's warpgroups: out[n, m] = scale[m] * sum_k W[m, k] x[n, k] + bias[m].

For a batch of up to 64. Four warps multiply together (wgmma): weights come from registers, where
they were decoded, activations from shared memory, sums stay in registers. A warp owns two row
tiles. The warpgroups of a block form ``groups``, which share out K four units at a time, and the
blocks of a cluster share K in slices; all sums are added in a fixed order at the end.

Activations pass through shared memory one *round* of K at a time, four units per group, in two
buffers: while one is multiplied, the next is filled. Each warp copies its part asynchronously to a
place of its own one round ahead, then brings it into the order in which tensor cores read.
"""

from numba import cuda

from amssim.launch.geometry import (
    SLOT_BYTES,
    STEP,
    UNIT_BYTES,
    WARP_TILES,
    Gpu,
    LaunchPlan,
    raw_stride,
    tasks_of,
)
from amssim.launch.warpgroup import round_bytes
from cuda_kernels.forms.form import Form
from cuda_kernels.kernel import Arguments, Kernel, KernelProblem, Options
from cuda_kernels.parts.add_groups import make_add_groups
from cuda_kernels.parts.bursts import turned
from cuda_kernels.parts.finish import make_meeting
from cuda_kernels.parts.pairs import make_pairs
from cuda_kernels.parts.rows import make_stage_rows
from cuda_kernels.ptx import (
    contract_by_warpgroup,
    core_matrix_bytes,
    f32,
    finish_copies,
    keep,
    load_words_if,
    publish,
    shared_address,
    start_copy,
    start_next_grid,
    store_core_matrices,
    store_fragments,
    u32,
    u64,
    wait_for_previous_grid,
)
from cuda_kernels.signature import address, count

TOGETHER = 4  # column tiles up to which registers hold both row tiles of a unit at a time


def make_round_copies(form: Form, x_tiles: int, warps: int, groups: int):
    """Make the device functions that copy a round of activations, and arrange it.

    A *task* is one unit of eight rows.
    """
    put, per_unit = store_core_matrices(form.group, x_tiles), core_matrix_bytes(form.group, x_tiles)
    unit_weights, units = form.unit_weights, STEP * groups
    stride, parts = raw_stride(form.group), 2 * form.unit_weights // 16  # of 16 bytes, per row
    turns, exact = tasks_of(x_tiles, warps, groups), x_tiles * units % warps == 0
    piece_bytes = 4 * form.pairs

    @cuda.jit(device=True, inline="always")
    def task_of(i):
        """(whether this warp has task i, column tile, unit)."""
        task = u32((u32(cuda.threadIdx.x) >> u32(5)) + u32(i * warps))
        return (
            u32(exact or task < u32(x_tiles * units)),
            u32(task % u32(x_tiles)),
            u32(task // u32(x_tiles)),
        )

    @cuda.jit(device=True, inline="always")
    def copy_round(source, unit, raw):
        """Start to copy this warp's part of the round that begins at ``unit``, four rows at a time;
        zeros past the last row and column."""
        x, k_columns, batch = source
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        row = u32(lane // u32(parts))
        part = u32(lane - row * u32(parts))
        here = u32(raw + row * u32(stride) + part * u32(16))
        four_rows = u64(u64(8) * u64(k_columns))
        for i in range(turns):
            mine, n, u = task_of(i)
            first = u32(n * u32(8) + row)
            k = u32(u32(unit + u) * u32(unit_weights) + part * u32(8))
            at = u64(x + u64(2) * (u64(first) * u64(k_columns) + u64(k)))
            for j in range(2):
                wanted = u32(k < k_columns) * u32(u32(first + u32(4 * j)) < batch)
                to = u32(here + u32((8 * i + 4 * j) * stride))
                start_copy(to, at, wanted, u32(row < u32(4)) * mine)
                at = u64(at + four_rows)

    @cuda.jit(device=True, inline="always")
    def arrange_round(raw, buffer):
        """Bring what was copied into ``buffer``, for the round after the next barrier."""
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        finish_copies()
        piece = u32(raw + u32(lane >> u32(2)) * u32(stride) + u32(lane & u32(3)) * u32(piece_bytes))
        for i in range(turns):
            mine, n, u = task_of(i)
            to = u32(buffer + u * u32(per_unit) + n * u32(128) + lane * u32(4))
            if exact or mine:
                put(u32(piece + u32(8 * stride * i)), to)
        publish()
        cuda.syncwarp()  # lanes read what other lanes copied, and will copy over

    return copy_round, arrange_round


def make_round(form: Form, x_tiles: int, groups: int):
    """Make the device functions that multiply a round of a warpgroup, and leave its sums."""
    together = x_tiles <= TOGETHER  # the row tiles are multiplied at once
    decode = form.decode
    multiply = contract_by_warpgroup(form.group, x_tiles, WARP_TILES if together else 1)
    store = store_fragments(x_tiles * (WARP_TILES if together else 1))
    per_unit = core_matrix_bytes(form.group, x_tiles)

    @cuda.jit(device=True, inline="always")
    def turn(u, sums, words, tails, place, x_at):
        """Multiply unit ``u``; start to load its successor, one round ahead, in its place."""
        (above, under), (at, below, more, inside) = words, place
        activations = u32(x_at + u32(u * per_unit))
        top = decode(above, turned(tails[0], u))
        above = load_words_if(u64(at + u64(u * UNIT_BYTES)), u32(more * inside[0]))
        if together:
            bottom = decode(under, turned(tails[1], u))
            under = load_words_if(u64(at + below + u64(u * UNIT_BYTES)), u32(more * inside[1]))
            sums = multiply(sums, top, bottom, activations)
        else:
            first = multiply(sums[0], top, activations)
            bottom = decode(under, turned(tails[1], u))
            under = load_words_if(u64(at + below + u64(u * UNIT_BYTES)), u32(more * inside[1]))
            sums = first, multiply(sums[1], bottom, activations)
        return sums, (above, under)

    @cuda.jit(device=True, inline="always")
    def multiply_round(sums, words, tails, place, x_at):
        """Multiply four units.

        place: (address one round ahead, bytes to the lower row tile, whether there is one, inside)
        """
        w0, w1, w2, w3 = words
        sums, w0 = turn(0, sums, w0, tails, place, x_at)
        sums, w1 = turn(1, sums, w1, tails, place, x_at)
        sums, w2 = turn(2, sums, w2, tails, place, x_at)
        sums, w3 = turn(3, sums, w3, tails, place, x_at)
        return sums, (w0, w1, w2, w3)

    @cuda.jit(device=True, inline="always")
    def leave(slots, sums):
        """Put a warp's sums into its slots."""
        warp = u32(u32(cuda.threadIdx.x) >> u32(5))
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        mine = u32(slots + warp * u32(WARP_TILES * x_tiles * SLOT_BYTES) + lane * u32(16))
        if together:
            store(mine, sums)
        else:
            store(mine, sums[0])
            store(u32(mine + u32(x_tiles * SLOT_BYTES)), sums[1])

    zeros = (f32(0),) * (4 * x_tiles * (WARP_TILES if together else 1))
    return multiply_round, leave, zeros if together else (zeros, zeros)


def make_warpgroup_gemm(form: Form, dtype: str, *, x_tiles: int, warps: int, groups: int,
                        split: bool):  # fmt: skip
    """Make the kernel of one form, output dtype and block shape.

    Args:
        x_tiles: column tiles of 8; the batch is at most 8 * x_tiles.
        warps: warps of a block, whole warpgroups of 4 per group.
        groups: how many parts of the block share K.
        split: the blocks of a cluster share K.
    """
    copy_round, arrange_round = make_round_copies(form, x_tiles, warps, groups)
    multiply_round, leave, zeros = make_round(form, x_tiles, groups)
    fetch_units, fetch_tails = make_pairs(form)
    stage_rows, mates = make_stage_rows(), warps // groups
    tile_bytes = x_tiles * SLOT_BYTES
    strides = tile_bytes, WARP_TILES * mates * tile_bytes
    meet, wait_for_readers = make_meeting(split)
    add_groups = make_add_groups(dtype, x_tiles, groups, strides, split)
    round_units, buffer = STEP * groups, round_bytes(form.group, x_tiles, groups)
    group_bytes = STEP * core_matrix_bytes(form.group, x_tiles)
    raw_of_warp = 8 * raw_stride(form.group) * tasks_of(x_tiles, warps, groups)

    def gemm(
        weights: address, tails: address, scales: address, bias: address,
        x: address, x_scales: address, out: address,
        rows: count, k_columns: count, batch: count, units: count, row_tiles: count,
        slice_units: count, block_tiles: count,
    ):  # fmt: skip
        """out[n, m] = scale[m] sum_k W[m, k] x[n, k] + bias[m].

        weights: uint32[row_tiles, units, 32, 4] words; tails: uint32[row_tiles, units / 4, 32]
        scales, bias: float32[rows], bias 0 for none; x: float16[batch, k_columns]
        x_scales: float32[batch] or 0; out: dtype[batch, rows]
        slice_units: units of a block's slice of K, whole rounds
        block_tiles: row tiles of a block, at most twice the warps of a group
        """
        start_next_grid()
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        warp = u32(u32(cuda.threadIdx.x) >> u32(5))
        group = u32(warp // u32(mates))
        mate = u32(warp - group * u32(mates))
        first_tile = u32(u32(cuda.blockIdx.y) * block_tiles)
        stop_tile = u32(min(row_tiles, u32(first_tile + block_tiles)))
        tile, first_row = u32(first_tile + mate * u32(WARP_TILES)), u32(first_tile * u32(16))
        begin = u32(u32(cuda.blockIdx.x) * slice_units)
        end = u32(min(units, u32(begin + slice_units)))
        unit = u32(begin + group * u32(STEP))
        inside = (u32(tile < stop_tile), u32(u32(tile + u32(1)) < stop_tile))
        at = u64((u64(tile) * u64(units) + u64(unit)) * u64(UNIT_BYTES))
        below = u64(u64(units) * u64(UNIT_BYTES))
        words = u64(weights + u64(lane) * u64(16))
        shared_bits = u64(tails + u64(lane) * u64(4))
        tails_now = fetch_tails(shared_bits, at, below, u32(unit < end), inside)
        loaded = fetch_units(u64(words + at), below, u32(unit < end), inside)

        row_data = keep(shared_address(cuda.shared.array(0, u32)))
        stage_rows(scales, bias, first_row, rows, u32(mates * WARP_TILES * 16), row_data)
        now = u32(row_data + u32(mates * WARP_TILES * 128))
        slots, after = now, u32(now + u32(buffer))
        raw = u32(now + u32(2 * buffer) + warp * u32(raw_of_warp))
        wait_for_previous_grid()
        source = (x, k_columns, batch)
        copy_round(source, begin, raw)
        arrange_round(raw, now)
        copy_round(source, u32(begin + u32(round_units)), raw)
        cuda.syncthreads()

        sums, x_offset = zeros, u32(group * u32(group_bytes))
        while begin < end:
            arrange_round(raw, after)
            copy_round(source, u32(begin + u32(2 * round_units)), raw)
            at = u64(at + u64(round_units * UNIT_BYTES))
            more = u32(u32(unit + u32(round_units)) < end)
            coming = fetch_tails(shared_bits, at, below, more, inside)
            place, x_at = (u64(words + at), below, more, inside), u32(now + x_offset)
            sums, loaded = multiply_round(sums, loaded, tails_now, place, x_at)
            tails_now = coming
            now, after = after, now
            begin, unit = u32(begin + u32(round_units)), u32(unit + u32(round_units))
            cuda.syncthreads()

        finish_copies()  # of a round that does not come: sums take its place
        cuda.syncthreads()
        leave(slots, sums)
        meet()
        target = (rows, batch, x_scales, out)
        add_groups(slots, u32(stop_tile - first_tile), row_data, first_row, target)
        wait_for_readers()

    return gemm


def options_of(plan: LaunchPlan, problem: KernelProblem, gpu: Gpu) -> Options:
    """What `make_warpgroup_gemm` makes for a plan."""
    shape = {"x_tiles": plan.columns // 8, "warps": plan.warps, "groups": plan.groups}
    return shape | {"split": plan.splits > 1}


def arguments_of(plan: LaunchPlan, problem: KernelProblem) -> Arguments:
    """The arguments that a plan gives."""
    return {"slice_units": plan.slice_units, "block_tiles": plan.block_tiles}


KERNEL = Kernel(make_warpgroup_gemm, options_of, arguments_of)
