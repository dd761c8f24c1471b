"""Activations of the stream on their way to shared memory, a chunk of K at a time.

A *task* is a unit of all rows of activations. Its warp copies it asynchronously, raw and to a
place of its own, and when it has come puts it in pair order into the buffer that all warps read.
"""

from numba import cuda

from amssim.launch.geometry import BURST, raw_stride, row_stride, tasks_of
from cuda_kernels.forms.form import Form
from cuda_kernels.ptx import arrive, order_piece_of, start_copy, u32, u64


def make_chunk_copies(form: Form, team: int, x_tiles: int, warps: int):
    """Make the device functions that copy a warp's part of a chunk, four rows at a time, and hand
    it over in order."""
    order_piece = order_piece_of(form.group)
    unit_weights, units, piece_bytes = form.unit_weights, BURST * team, 4 * form.pairs
    raw, pieces = raw_stride(form.group), 2 * form.unit_weights // 16  # of 16 bytes, per row
    turns, stride = tasks_of(1, warps, team), row_stride(form.group, units)

    @cuda.jit(device=True, inline="always")
    def place_lane(source, first, place):
        """((address, column) of what this lane copies first, (row of x, address it goes to)).

        A lane without a part has a row past the last.
        """
        x, k_columns, _ = source
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        warp = u32(u32(cuda.threadIdx.x) >> u32(5))
        row = u32(lane // u32(pieces))
        part = u32(lane - row * u32(pieces))
        k = u32(u32(first + warp) * u32(unit_weights) + part * u32(8))
        at = u64(x + u64(2) * (u64(row) * u64(k_columns) + u64(k)))
        to = u32(place + row * u32(raw) + part * u32(16))
        if pieces < 8:
            row = u32(row + u32(64) * u32(row > u32(3)))
        return (at, k), (row, to)

    @cuda.jit(device=True, inline="always")
    def copy_chunk(source, now, lane_part, possible, place):
        """Start to copy this warp's part of a chunk where ``possible``, to ``place`` bytes on."""
        (at, k), (row, to) = now, lane_part
        _, k_columns, batch = source
        warp = u32(u32(cuda.threadIdx.x) >> u32(5))
        four_rows = u64(u64(8) * u64(k_columns))
        for i in range(turns):
            here = u64(at + u64(2 * i * warps * unit_weights))
            column = u32(k + u32(i * warps * unit_weights))
            mine = u32(possible * u32(u32(warp + u32(i * warps)) < u32(units)))
            for j in range(2 * x_tiles):
                there = u32(to + place + u32((i * x_tiles * 8 + 4 * j) * raw))
                needed = u32(mine * u32(u32(row + u32(4 * j)) < batch))
                start_copy(there, here, u32(column < k_columns), needed)
                here = u64(here + four_rows)
        return u64(at + u64(2 * units * unit_weights)), u32(k + u32(units * unit_weights))

    @cuda.jit(device=True, inline="always")
    def order_chunk(place, buffer):
        """Bring what was copied into a buffer."""
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        warp = u32(u32(cuda.threadIdx.x) >> u32(5))
        g, t = u32(lane >> u32(2)), u32(lane & u32(3))
        mine = u32(place + g * u32(raw) + t * u32(piece_bytes))
        to = u32(buffer + g * u32(stride) + u32(warp * u32(4) + t) * u32(piece_bytes))
        for i in range(turns):
            if u32(warp + u32(i * warps)) < u32(units):
                for column in range(x_tiles):
                    order_piece(
                        u32(mine + u32(8 * raw * (x_tiles * i + column))),
                        u32(to + u32(4 * i * warps * piece_bytes + 8 * stride * column)),
                        u32(1),
                    )

    @cuda.jit(device=True, inline="always")
    def hand_over(raw, buffer, barrier):
        """Put a part of a chunk in order and say that it is there.

        Every lane arrives: one could for its warp, but compute-sanitizer does not follow that.
        """
        order_chunk(raw, buffer)
        cuda.syncwarp()  # lanes read what other lanes copied, and will copy over
        arrive(barrier)

    return place_lane, copy_chunk, hand_over
