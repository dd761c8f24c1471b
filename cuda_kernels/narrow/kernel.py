"""float32 results of the plain kernels -> outputs of any dtype, with the bias."""

from numba import cuda

from cuda_kernels.kernel import Kernel
from cuda_kernels.parts.finish import OUT_BYTES
from cuda_kernels.ptx import STORE, f32, load_f32, u32, u64
from cuda_kernels.signature import address, count

THREADS = 256


def make_narrow(dtype: str):
    """Make the kernel for one output dtype."""
    store, size = STORE[dtype], OUT_BYTES[dtype]

    def narrow(source: address, bias: address, out: address, columns: count):
        """out[n, k] = source[n, k] + bias[k], rounded; bias 0 for none."""
        k = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
        wanted = u32(k < columns)
        column = u64(u64(k * wanted))
        at = u64(u64(cuda.blockIdx.y) * u64(columns) + column)
        offset = f32(0)
        if bias != u64(0):
            offset = load_f32(u64(bias + column * u64(4)))
        value = load_f32(u64(source + at * u64(4)))
        store(u64(out + at * u64(size)), f32(value + offset), wanted)

    return narrow


KERNEL = Kernel(make_narrow)
