"""Dense weights: out[m, k] = value[m, k] * scale[m], rounded to float32 and then to the dtype.

A warp decodes a burst of a row tile to shared memory in column order and writes each row's run
from there, 512 bytes (FP4.25) or 384 (FP5.33) of float16.
"""

from numba import cuda

from amssim.launch.geometry import BURST, UNIT_BYTES
from cuda_kernels.forms.form import VALUE_SCALE, Form
from cuda_kernels.kernel import Kernel
from cuda_kernels.parts.bursts import turned
from cuda_kernels.parts.finish import OUT_BYTES
from cuda_kernels.ptx import (
    copy_out,
    keep,
    load_f32,
    load_word_if,
    load_words_if,
    scatter_of,
    shared_address,
    start_next_grid,
    u32,
    u64,
    wait_for_previous_grid,
)
from cuda_kernels.signature import address, count

WARPS, RESIDENT = 8, 2  # of a block; blocks for which a multiprocessor has room


def run_bytes(form: Form, dtype: str) -> int:
    """Bytes between rows of a warp's buffer."""
    return BURST * form.unit_weights * OUT_BYTES[dtype] + 16


def make_fetch(form: Form):
    """Make the device function that starts the loads of a burst."""
    has_tails = form.has_tails

    @cuda.jit(device=True, inline="always")
    def fetch(sources, sizes, i):
        """(tail, words of four units, scales of rows g and g + 8, place) of burst i."""
        weights, tails, scales = sources
        rows, units, bursts = sizes
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        tile = u32(i // bursts)
        unit = u32(u32(i - tile * bursts) * u32(BURST))
        row = u32(u32(tile * u32(16)) + (lane >> u32(2)))
        under = u32(row + u32(8))
        above = load_f32(u64(scales + u64(row * u32(row < rows)) * u64(4)))
        below = load_f32(u64(scales + u64(under * u32(under < rows)) * u64(4)))
        at = u64((u64(tile) * u64(units) + u64(unit)) * u64(UNIT_BYTES))
        tail = u32(0)
        if has_tails:
            tail = load_word_if(u64(tails + (at >> u64(4)) + u64(lane) * u64(4)), u32(1))
        first = u64(weights + at + u64(lane) * u64(16))
        w0 = load_words_if(first, u32(1))
        w1 = load_words_if(u64(first + u64(UNIT_BYTES)), u32(1))
        w2 = load_words_if(u64(first + u64(2 * UNIT_BYTES)), u32(1))
        w3 = load_words_if(u64(first + u64(3 * UNIT_BYTES)), u32(1))
        return tail, (w0, w1, w2, w3), (above, below), (tile, unit)

    return fetch


def make_put(form: Form, dtype: str):
    """Make the device function that decodes a burst to shared memory."""
    decode, size = form.decode, OUT_BYTES[dtype]
    scatter = scatter_of(form.group, dtype, VALUE_SCALE)
    pitch, piece = run_bytes(form, dtype), form.piece_weights

    @cuda.jit(device=True, inline="always")
    def put(burst, buffer):
        """buffer[r, k] = value[r, k] scale[r] for the 16 rows of the burst's row tile."""
        tail, (w0, w1, w2, w3), (above, below), _ = burst
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        mine = u32(buffer + u32(lane >> u32(2)) * u32(pitch))
        mine = u32(mine + u32(lane & u32(3)) * u32(piece * size))
        for u in range(BURST):
            place = u32(mine + u32(u * 4 * piece * size))
            scatter(place, u32(place + u32(8 * pitch)), decode(w0, tail), above, below)
            w0, w1, w2 = w1, w2, w3
            tail = turned(tail, 1)

    return put


def make_write(form: Form, dtype: str):
    """Make the device function that writes a burst's rows from shared memory."""
    size, pitch, piece = OUT_BYTES[dtype], run_bytes(form, dtype), form.piece_weights
    run = BURST * form.unit_weights * size // 16  # pieces of 16 bytes of a row
    turns = -(-16 * run // 32)

    @cuda.jit(device=True, inline="always")
    def write(place, buffer, target):
        """16 bytes per lane at a time, along the rows."""
        out, rows, columns = target
        tile, unit = place
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        for turn in range(turns):
            j = u32(lane + u32(32 * turn))
            r = u32(j // u32(run))
            c = u32(j - r * u32(run))
            to_row = u32(tile * u32(16) + r)
            column = u32(unit * u32(4 * piece) + c * u32(16 // size))
            wanted = u32(r < u32(16)) * u32(to_row < rows) * u32(column < columns)
            to = u64(out + (u64(to_row) * u64(columns) + u64(column)) * u64(size))
            r = u32(min(r, u32(15)))
            copy_out(to, u32(buffer + r * u32(pitch) + c * u32(16)), wanted)

    return write


def blocks_of(form: Form, rows: int, columns: int, warps: int) -> int:
    """Blocks of ``warps`` warps, one burst each.

    A grid that stays and takes turns is 6 to 13 % slower on an H200; loads ahead of their turn
    and bulk copies of whole rows gain nothing.
    """
    return -(-form.tiles(rows) * (form.units(columns) // BURST) // warps)


def make_dequantize(form: Form, dtype: str, *, early: bool):
    """Make the kernel of one form and output dtype.

    ``early``: it may start before the grid ahead of it ends (compute capability 9).
    """
    fetch, put, write = make_fetch(form), make_put(form, dtype), make_write(form, dtype)
    pitch = run_bytes(form, dtype)

    def dequantize(
        weights: address, tails: address, scales: address, out: address,
        rows: count, columns: count, units: count, row_tiles: count,
    ):  # fmt: skip
        """out[m, k] = value[m, k] scale[m]; 16 bytes divide a row of out.

        weights: uint32[row_tiles, units, 32, 4] words; tails: uint32[row_tiles, units / 4, 32]
        scales: float32[rows]; out: dtype[rows, columns]
        """
        if early:
            start_next_grid()
        warp = u32(u32(cuda.threadIdx.x) >> u32(5))
        warps = u32(u32(cuda.blockDim.x) >> u32(5))
        bursts = u32(units // u32(BURST))
        i = u32(u32(cuda.blockIdx.x) * warps + warp)
        buffer = u32(keep(shared_address(cuda.shared.array(0, u32))) + warp * u32(16 * pitch))
        if i < u32(row_tiles * bursts):
            burst = fetch((weights, tails, scales), (rows, units, bursts), i)
            put(burst, buffer)
            cuda.syncwarp()
            if early:
                wait_for_previous_grid()  # which may still read or write what this one writes
            write(burst[3], buffer, (out, rows, columns))

    return dequantize


KERNEL = Kernel(make_dequantize)
