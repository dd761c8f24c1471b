"""Codes -> values, by arithmetic on the bits of float32."""

from numba import cuda

from cuda_kernels.ptx import as_f32, f32, f32_of_half, load_half_if, u32, u64


def make_value_of(exponent_bits: int, mantissa_bits: int):
    """Make the device function code -> value of a minifloat, subnormals included.

    A float32 with the same fields is smaller by a power of two.
    """
    factor = 2.0 ** (127 - (2 ** (exponent_bits - 1) - 1))
    bits = exponent_bits + mantissa_bits

    @cuda.jit(device=True, inline="always")
    def value_of(code):
        magnitude = u32(code & u32((1 << bits) - 1))
        sign = u32(code >> u32(bits))
        shifted = u32(magnitude << u32(23 - mantissa_bits))
        return f32(as_f32(u32(shifted | u32(sign << u32(31)))) * f32(factor))

    return value_of


def make_activation(dtype: str):
    """Make the device function that loads a float16 or bfloat16 as a float32, 0 if not wanted."""
    wide = dtype == "bfloat16"

    @cuda.jit(device=True, inline="always")
    def activation(address, wanted):
        bits = load_half_if(u64(address), wanted)
        if wide:
            return as_f32(u32(u32(bits) << u32(16)))
        return f32_of_half(bits)

    return activation
