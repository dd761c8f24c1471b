"""GEMV with a stream of activations: out[n, m] = scale[m] * sum_k W[m, k] x[n, k] + bias[m].

For a batch of up to 16 whose activations are too many to stage before the first product. Each row
tile of a block has a *team* of warps that take turns along K, a burst of four units each; a round
of all teams needs the activations of one *chunk* of K. Chunks pass through three buffers in shared
memory: each warp copies its part of a chunk asynchronously, with the weights of the round before,
puts it in order when it has come, and arrives at the barrier of the buffer. No barrier stops the
block as a whole, so that warps may be a round apart.

Sums are added as in the other kernels: the warps of a team, then the blocks of a cluster, which
share K, in a fixed order.
"""

from numba import cuda

from amssim.launch.geometry import BURST, Gpu, LaunchPlan, burst_bytes, even_parts, row_stride
from amssim.launch.stream import (
    BARRIER_BYTES,
    STREAM_BUFFERS,
    chunk_bytes,
    raw_bytes_of_warp,
    stream_places,
)
from cuda_kernels.forms.form import Form
from cuda_kernels.kernel import Arguments, Kernel, KernelProblem, Options
from cuda_kernels.parts.add_groups import make_add_groups
from cuda_kernels.parts.blocks import block_of
from cuda_kernels.parts.bursts import make_burst_copies, turned
from cuda_kernels.parts.finish import make_meeting
from cuda_kernels.parts.lane_x import make_lane_x
from cuda_kernels.parts.rows import make_stage_rows
from cuda_kernels.parts.sums import make_add_unit, make_sums
from cuda_kernels.ptx import (
    end_group,
    f32,
    finish_copies,
    keep,
    make_barrier,
    shared_address,
    start_next_grid,
    u32,
    u64,
    wait_for_all_but,
    wait_for_phase,
    wait_for_previous_grid,
)
from cuda_kernels.signature import address, count
from cuda_kernels.stream.chunks import make_chunk_copies


def make_turns(form: Form, team: int):
    """Make the device functions that fetch a burst of a warp's turns, and read it."""
    fetch_burst, tail_at, words_at = make_burst_copies(form)

    @cuda.jit(device=True, inline="always")
    def fetch_turn(sources, burst, turn, slot):
        """Start to copy a burst to a slot of the ring; returns the number of this warp's next.

        turn: (its unit in the slice, where the warp's units end)
        """
        fetch_burst(sources, burst, u32(turn[0] < turn[1]), slot)
        return u32(burst + u32(team))

    return fetch_turn, tail_at, words_at


def make_start(form: Form, copies: tuple, team: int, depth: int, raw_bytes: int):
    """Make the device functions that begin the stream of weights, and that of activations."""
    place_lane, copy_chunk, hand_over = copies
    fetch_turn, _, _ = make_turns(form, team)
    wait, arrived = wait_for_all_but(depth - 1), wait_for_all_but(0)
    slot_bytes, units, early = burst_bytes(form.group), BURST * team, max(1, depth - 1)
    second = raw_bytes if depth > 1 else 0  # where the second chunk is

    @cuda.jit(device=True, inline="always")
    def start_weights(sources, burst, unit, end, ring):
        """Start to copy all bursts of this warp's ring but the last, each when the one before it
        has come (`make_ring_feed`); returns the number of the next."""
        for d in range(early):
            arrived()
            turn = (u32(unit + u32(d * units)), end)
            burst = fetch_turn(sources, burst, turn, u32(ring + u32(d * slot_bytes)))
            end_group()
        return burst

    @cuda.jit(device=True, inline="always")
    def start_activations(sources, burst, turns, source, first, rings):
        """Copy the first chunks and the last burst of the ring, and hand over the first chunk;
        returns the number of the next burst, what to copy next, and where.

        That burst comes while the activations do, and does not hold them up.
        """
        (unit, end, n), (ring, raw, buffers, barriers) = turns, rings
        now, lane_part = place_lane(source, first, raw)
        for d in range(depth):
            now = copy_chunk(source, now, lane_part, u32(u32(d * units) < n), u32(d * raw_bytes))
            if d >= early:
                turn = (u32(unit + u32(d * units)), end)
                burst = fetch_turn(sources, burst, turn, u32(ring + u32(d * slot_bytes)))
            end_group()
        wait()
        cuda.syncwarp()
        hand_over(raw, buffers, barriers)
        now = copy_chunk(source, now, lane_part, u32(u32(depth * units) < n), u32(0))
        end_group()
        return burst, (now, lane_part, u32(second))

    return start_weights, start_activations


def make_rounds(form: Form, copies: tuple, zeros: tuple, team: int, x_tiles: int, depth: int,
                raw_bytes: int):  # fmt: skip
    """Make the device function that multiplies all rounds."""
    _, copy_chunk, hand_over = copies
    fetch_turn, tail_at, words_at = make_turns(form, team)
    decode, add_unit = form.decode, make_add_unit(form, x_tiles, 0)
    wait, one = wait_for_all_but(depth - 1), (f32(1), f32(1))
    x_unit_bytes, units = u32(16 * form.pairs), BURST * team
    slot_bytes = burst_bytes(form.group)
    buffer_bytes = u32(chunk_bytes(form.group, team, x_tiles))

    @cuda.jit(device=True, inline="always")
    def following(place, size):
        """The next of ``depth`` places of ``size`` bytes, counted from the first."""
        place = u32(place + u32(size))
        return u32(place * u32(place < u32(depth * size)))

    @cuda.jit(device=True, inline="always")
    def multiply_rounds(sources, burst, turns, x_places, source, ready, rings):
        """Sums of this warp over its turns: units unit, unit + 4 team, ... before ``end``.

        burst: the number of the first burst that is not on its way
        turns: (unit, end, units of the slice)
        ready: what `start_activations` has returned
        rings: the warp's weights, its raw activations; the buffers and their barriers
        """
        unit, end, n = turns
        lane_at, beside = x_places  # the lane's in the first buffer
        now, lane_part, raw_at = ready
        ring, raw, buffers, barriers = rings
        stop = u32(buffers + u32(STREAM_BUFFERS) * buffer_bytes)
        buffer, barrier, parity = buffers, barriers, u32(0)
        sums, slot, done = zeros, u32(0), u32(0)
        lane_offset = u32(lane_at - buffers)
        while done < n:
            wait()  # for weights of this round, and for activations of the next
            wait_for_phase(barrier, parity)
            cuda.syncwarp()
            x_at = u32(buffer + lane_offset)
            buffer, barrier = u32(buffer + buffer_bytes), u32(barrier + u32(BARRIER_BYTES))
            if buffer == stop:
                buffer, barrier, parity = buffers, barriers, u32(parity ^ u32(1))
            hand_over(u32(raw + raw_at), buffer, barrier)
            possible = u32(u32(done + u32((1 + depth) * units)) < n)
            now = copy_chunk(source, now, lane_part, possible, raw_at)
            here = u32(ring + slot)
            if unit < end:
                tail = tail_at(here)
                for u in range(BURST):
                    fragments = decode(words_at(u, here), tail)
                    tail = turned(tail, 1)
                    x_now = u32(x_at + u32(u) * x_unit_bytes)
                    sums = add_unit(sums, fragments, x_now, beside, one)
            burst = fetch_turn(sources, burst, (u32(unit + u32(depth * units)), end), here)
            end_group()
            raw_at = following(raw_at, raw_bytes)
            slot, unit = following(slot, slot_bytes), u32(unit + u32(units))
            done = u32(done + u32(units))
        return sums

    return multiply_rounds


def make_stream(form: Form, dtype: str, *, warps: int, team: int, x_tiles: int, depth: int,
                split: bool):  # fmt: skip
    """Make the kernel of one form, output dtype and block shape.

    Args:
        warps: of a block, a team for each row tile.
        team: warps that take turns along K.
        x_tiles: column tiles of 8: 1 for a batch of 1 to 8, 2 for 9 to 16.
        depth: bursts of weights, and parts of chunks, that a warp keeps on their way.
        split: the blocks of a cluster share K.
    """
    zeros, leave = make_sums(team, x_tiles, in_turns=False)
    copies = make_chunk_copies(form, team, x_tiles, warps)
    raw_bytes = raw_bytes_of_warp(form.group, x_tiles, warps, team)
    start_weights, start_activations = make_start(form, copies, team, depth, raw_bytes)
    multiply_rounds = make_rounds(form, copies, zeros, team, x_tiles, depth, raw_bytes)
    lane_x, stage_rows = make_lane_x(form, x_tiles), make_stage_rows()
    ring_bytes, most_tiles = depth * burst_bytes(form.group), warps // team
    meet, wait_for_readers = make_meeting(split)
    add_groups = make_add_groups(dtype, x_tiles, team, (team * ring_bytes, ring_bytes), split)
    places = stream_places(form.group, x_tiles, warps, team, depth)
    stride, mate_bytes = row_stride(form.group, BURST * team), BURST * 16 * form.pairs

    def stream(
        weights: address, tails: address, scales: address, bias: address,
        x: address, x_scales: address, out: address,
        rows: count, k_columns: count, batch: count, units: count, row_tiles: count,
        full: count, slice_units: count,
    ):  # fmt: skip
        """out[n, m] = scale[m] sum_k W[m, k] x[n, k] + bias[m].

        weights: uint32[row_tiles, units, 32, 4] words; tails: uint32[row_tiles, units / 4, 32]
        scales, bias: float32[rows], bias 0 for none; x: float16[batch, k_columns]
        x_scales: float32[batch] or 0; out: dtype[batch, rows]
        full: clusters with a row tile for each team; others have one less
        slice_units: units of a block's slice of K
        """
        start_next_grid()
        thread = u32(cuda.threadIdx.x)
        lane, warp = u32(thread & u32(31)), u32(thread >> u32(5))
        number = u32(warp // u32(team))
        mate = u32(warp - number * u32(team))
        first_tile, tiles, first, n = block_of(units, u32(most_tiles), full, slice_units)
        unit, end = u32(mate * u32(BURST)), u32(n * u32(number < tiles))
        # the first loads leave before anything else: weights do not depend on the grid before
        burst = u32(u32(u32(first_tile + number) * units + u32(first + unit)) // u32(BURST))
        sources = (u64(weights + u64(lane) * u64(16)), u64(tails + u64(lane) * u64(4)))
        base = keep(shared_address(cuda.shared.array(0, u32)))
        ring = u32(base + warp * u32(ring_bytes))
        burst = start_weights(sources, burst, unit, end, ring)

        raw = u32(base + u32(places.raw) + warp * u32(depth * raw_bytes))
        buffers, row_data = u32(base + u32(places.buffers)), u32(base + u32(places.rows))
        barriers = u32(base + u32(places.barriers))
        for i in range(STREAM_BUFFERS):
            barrier = u32(barriers + u32(i * BARRIER_BYTES))
            make_barrier(barrier, u32(32 * warps), u32(thread == u32(0)))
        first_row = u32(first_tile * u32(16))
        stage_rows(scales, bias, first_row, rows, u32(tiles * u32(16)), row_data)
        cuda.syncthreads()
        wait_for_previous_grid()
        source, turns, rings = (x, k_columns, batch), (unit, end, n), (ring, raw, buffers, barriers)
        burst, ready = start_activations(sources, burst, turns, source, first, rings)
        lane_at, beside = lane_x(buffers, batch, u32(stride))
        x_places = (u32(lane_at + mate * u32(mate_bytes)), beside)
        sums = multiply_rounds(sources, burst, turns, x_places, source, ready, rings)

        finish_copies()  # sums take the place of weights
        leave(u32(ring + lane * u32(16)), sums)
        meet()
        add_groups(base, tiles, row_data, first_row, (rows, batch, x_scales, out))
        wait_for_readers()

    return stream


def options_of(plan: LaunchPlan, problem: KernelProblem, gpu: Gpu) -> Options:
    """What `make_stream` makes for a plan."""
    shape = {"warps": plan.warps, "team": plan.team, "depth": plan.depth}
    return shape | {"x_tiles": plan.columns // 8, "split": plan.splits > 1}


def arguments_of(plan: LaunchPlan, problem: KernelProblem) -> Arguments:
    """The arguments that a plan gives."""
    _, full = even_parts(problem.form.tiles(problem.rows), plan.blocks)
    return {"full": full, "slice_units": plan.slice_units}


KERNEL = Kernel(make_stream, options_of, arguments_of)
