"""Views of a float32 as its bits and back, for kernels. LLVM vectorises them away."""

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic


@intrinsic
def bits_of(typing_context, value):
    """uint32 pattern of a float32."""
    return _bitcast(types.uint32, types.float32, ir.IntType(32))


@intrinsic
def float_of(typing_context, bits):
    """float32 whose pattern is a uint32."""
    return _bitcast(types.float32, types.uint32, ir.FloatType())


def _bitcast(to, source, llvm_type):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], llvm_type)

    return to(source), generate
