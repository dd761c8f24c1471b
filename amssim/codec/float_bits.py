"""Views of floats as their bits and back, for kernels. LLVM vectorises them away."""

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_EXPONENT_SHIFT = np.uint32(13)  # from float16 to float32
_BINADE = np.uint32(1 << 23)
_BIAS = np.uint32(112 << 23)  # 127 - 15 in the exponent field
_MIN_NORMAL = np.float32(2.0**-14)


@intrinsic
def bits_of(typing_context, value):
    """uint32 pattern of a float32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


@intrinsic
def float_of(typing_context, bits):
    """float32 whose pattern is a uint32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


@intrinsic
def float_of_half(typing_context, bits):
    """float32 of the same value as the finite float16 whose pattern is a uint16.

    One instruction where the CPU has F16C: twice as fast as `_widen`, which is used elsewhere
    because LLVM would call a library there.
    """

    def generate(context, builder, signature, arguments):
        _, _, features = context.codegen().magic_tuple()
        if "+f16c" not in features.split(","):
            return context.compile_internal(builder, _widen, signature, arguments)
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), generate


def _widen(bits):
    """A subnormal (0, m) is read as the normal (1, m), less the smallest normal value."""
    magnitude = np.uint32(np.uint32(bits & np.uint16(0x7FFF)) << _EXPONENT_SHIFT)
    size = np.uint32(magnitude + _BIAS)
    subnormal = np.float32(float_of(np.uint32(size + _BINADE)) - _MIN_NORMAL)
    value = subnormal if magnitude < _BINADE else float_of(size)
    sign = np.uint32(np.uint32(bits & np.uint16(0x8000)) << np.uint32(16))
    return float_of(np.uint32(bits_of(value) | sign))
