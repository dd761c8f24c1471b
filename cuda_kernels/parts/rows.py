"""Scales and bias of a block's rows, brought to shared memory before it multiplies."""

from numba import cuda

from cuda_kernels.ptx import f32, load_f32, store_shared_f32, u32, u64


def make_stage_rows():
    """Make the device function that brings scales and bias to shared memory."""

    @cuda.jit(device=True, inline="always")
    def stage_rows(scales, bias, first_row, rows, count, at):
        """shared[i] = (scales, bias)[first_row + i], 8 bytes each; zero past the last row."""
        base = u32(0)
        while base < count:
            i = u32(base + u32(cuda.threadIdx.x))
            row = u32(first_row + i)
            wanted = u32(i < count)
            inside = u32(row < rows) * wanted
            place = u64(u64(row * inside) * u64(4))
            offset = f32(0)
            if bias != u64(0):
                offset = f32(load_f32(u64(bias + place)) * f32(inside))
            store_shared_f32(u32(at + i * u32(8)), load_f32(u64(scales + place)), offset, wanted)
            base = u32(base + u32(cuda.blockDim.x))

    return stage_rows
