"""Activations that the tensor-core kernels cannot read as they are -> float16 rows and scales.

bfloat16 has a wider range than float16. Each row is multiplied by a power of two that brings its
largest finite element near float16's largest; the product multiplies by the inverse. What is
smaller than 2^-29 of the row's largest loses bits; that is far below float32's rounding of the
sum. float16 rows that are not aligned to 16 bytes are copied to rows that are.
"""

from numba import cuda

from cuda_kernels.kernel import Kernel
from cuda_kernels.ptx import (
    STORE,
    as_f32,
    f32,
    load_half_if,
    load_shared_f32,
    shared_address,
    start_next_grid,
    store_half_if,
    store_shared_f32,
    u32,
    u64,
    wait_for_previous_grid,
)
from cuda_kernels.signature import address, count

THREADS = 256
SMALLEST = 2.0**-111  # a smaller row maximum would need a factor beyond float32


def make_normalize(dtype: str, early: bool):
    """Make the kernel for one input dtype, float16 or bfloat16; a block takes one row."""
    store_f16, store_f32, wide = STORE["float16"], STORE["float32"], dtype == "bfloat16"

    def normalize(x: address, out: address, scales: address, columns: count, padded: count):
        """out[n] = x[n] / scales[n] for scales[n] a power of two, zero past the end of a row.

        x: dtype[batch, columns]; out: float16[batch, padded]; scales: float32[batch]
        """
        if early:
            start_next_grid()
            wait_for_previous_grid()
        tid, row = u32(cuda.threadIdx.x), u32(cuda.blockIdx.y)
        source = u64(x + u64(row) * u64(columns) * u64(2))
        to = u64(out + u64(row) * u64(padded) * u64(2))
        largest = u32(0)
        factor = f32(1)
        if wide:
            base = u32(0)
            while base < columns:
                k = u32(base + tid)
                bits = u32(load_half_if(u64(source + u64(k) * u64(2)), u32(k < columns)))
                exponent = u32(u32(bits >> u32(7)) & u32(255))
                largest = u32(max(largest, u32(exponent * u32(exponent < u32(255)))))
                base = u32(base + u32(THREADS))
            shared = shared_address(cuda.shared.array(0, u32))
            power = as_f32(u32(largest << u32(23)))
            store_shared_f32(u32(shared + tid * u32(8)), power, power, u32(1))
            cuda.syncthreads()
            power = f32(SMALLEST)
            for i in range(THREADS):
                power = f32(max(power, load_shared_f32(u32(shared + u32(8 * i)))[0]))
            factor = f32(f32(2.0**15) / power)
        base = u32(0)
        while base < padded:
            k = u32(base + tid)
            at = u64(to + u64(k) * u64(2))
            bits = load_half_if(u64(source + u64(k) * u64(2)), u32(k < columns))
            if wide:
                value = f32(as_f32(u32(u32(bits) << u32(16))) * factor)
                store_f16(at, value, u32(k < padded))
            else:
                store_half_if(at, bits, u32(k < padded))
            base = u32(base + u32(THREADS))
        store_f32(u64(scales + u64(row) * u64(4)), f32(f32(1) / factor), u32(tid == u32(0)))

    return normalize


KERNEL = Kernel(make_normalize)
