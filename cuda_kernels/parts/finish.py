"""The end of a product: partial sums in shared memory -> scaled, rounded, stored outputs."""

from numba import cuda

from cuda_kernels.forms.form import VALUE_SCALE
from cuda_kernels.ptx import (
    STORE,
    cluster_barrier,
    f32,
    leave_cluster,
    load_f32,
    load_shared_f32,
    u32,
    u64,
    wait_for_cluster,
)

OUT_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}


def make_meeting(split: bool):
    """Make the device functions that wait until all sums are there, and until all are read."""

    @cuda.jit(device=True, inline="always")
    def meet():
        """Wait for the block, or the cluster that shares K."""
        if split:
            cluster_barrier()
        else:
            cuda.syncthreads()

    @cuda.jit(device=True, inline="always")
    def wait_for_readers():
        """Wait until no other block reads this one's shared memory, which ends with the block."""
        if split:
            leave_cluster()
            wait_for_cluster()

    return meet, wait_for_readers


def make_finish(dtype: str):
    """Make the device function that stores a 16 x 8 fragment of sums as ``dtype``."""
    store, size = STORE[dtype], OUT_BYTES[dtype]

    @cuda.jit(device=True, inline="always")
    def put(total, row, column, row_data, target):
        """out[column, row] = total 2^14 scale x_scale + offset, where that element exists."""
        rows, batch, x_scales, out = target
        wanted = u32(row < rows) * u32(column < batch)
        value = f32(f32(total * f32(VALUE_SCALE)) * row_data[0])
        if x_scales != u64(0):
            value = f32(value * load_f32(u64(x_scales + u64(column * wanted) * u64(4))))
        at = u64(u64(column) * u64(rows) + u64(row))
        store(u64(out + at * u64(size)), f32(value + row_data[1]), wanted)

    @cuda.jit(device=True, inline="always")
    def finish(sums, first_row, row_data, first_column, target):
        """Rows first_row + (g, g + 8), columns first_column + (2t, 2t + 1) of lane 4g + t.

        row_data: shared address of (scale, bias) of the first row.
        """
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        g, column = u32(lane >> u32(2)), u32(first_column + u32(2) * (lane & u32(3)))
        right = u32(column + u32(1))
        above = load_shared_f32(u32(row_data + g * u32(8)))
        below = load_shared_f32(u32(row_data + g * u32(8) + u32(64)))
        put(sums[0], u32(first_row + g), column, above, target)
        put(sums[1], u32(first_row + g), right, above, target)
        put(sums[2], u32(first_row + g + u32(8)), column, below, target)
        put(sums[3], u32(first_row + g + u32(8)), right, below, target)

    return finish
