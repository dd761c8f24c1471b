"""The end of every product: sums of a fragment -> scaled, rounded, stored outputs."""

from numba import cuda

from cuda_kernels.forms import VALUE_SCALE
from cuda_kernels.ptx import STORE, f32, load_f32, u32, u64

OUT_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}


def make_finish(dtype: str):
    """Make the device function that stores a 16 x 8 fragment of sums as ``dtype``.

    Its last argument is (rows, batch, scales, bias, x_scales, out) as the kernels take them.
    """
    store = STORE[dtype]
    size = OUT_BYTES[dtype]

    @cuda.jit(device=True, inline="always")
    def put(total, row, column, scale, offset, target):
        """out[column, row] = total 2^14 scale x_scale + offset, where that element exists."""
        rows, batch, _, _, x_scales, out = target
        wanted = u32(row < rows) * u32(column < batch)
        value = f32(f32(total * f32(VALUE_SCALE)) * scale)
        if x_scales != u64(0):
            value = f32(value * load_f32(u64(x_scales + u64(column * wanted) * u64(4))))
        at = u64(u64(column) * u64(rows) + u64(row))
        store(u64(out + at * u64(size)), f32(value + offset), wanted)

    @cuda.jit(device=True, inline="always")
    def finish(sums, tile, first_column, target):
        """Rows 16 tile + (g, g + 8), columns first_column + (2t, 2t + 1) of lane 4g + t."""
        rows, _, scales, bias, _, _ = target
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        row = u32(tile * u32(16) + (lane >> u32(2)))
        below = u32(row + u32(8))
        column = u32(first_column + u32(2) * (lane & u32(3)))
        inside, inside_below = u32(row < rows), u32(below < rows)
        scale = load_f32(u64(scales + u64(row * inside) * u64(4)))
        scale_below = load_f32(u64(scales + u64(below * inside_below) * u64(4)))
        offset, offset_below = f32(0), f32(0)
        if bias != u64(0):
            offset = load_f32(u64(bias + u64(row * inside) * u64(4)))
            offset_below = load_f32(u64(bias + u64(below * inside_below) * u64(4)))
        right = u32(column + u32(1))
        put(sums[0], row, column, scale, offset, target)
        put(sums[1], row, right, scale, offset, target)
        put(sums[2], below, column, scale_below, offset_below, target)
        put(sums[3], below, right, scale_below, offset_below, target)

    return finish
