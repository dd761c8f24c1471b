"""256-bit vectors inside Numba kernels: types, operators and the AVX2 instructions they need.

A vector is an LLVM vector value, so kernels read like NumPy on 32 bytes at a time: ``a & 15`` and
``a + b`` work lane by lane, with a vector or a whole number on the right. Functions that name an
instruction compile only where the CPU has it; `amssim.cpu.avx2.missing_features` knows.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

_ELEMENTS = {
    "i8": ir.IntType(8),
    "i16": ir.IntType(16),
    "i32": ir.IntType(32),
    "i64": ir.IntType(64),
    "f32": ir.FloatType(),
}
_INDEX = ir.IntType(32)
#: Half-words between the weights in use and those that are prefetched, 2 kB. The streams of x
#: mislead the CPU's own prefetching: this makes a product of cold weights with eight columns 1.7
#: times as fast, with one column 1.4 times; half and twice as far do as well.
READ_AHEAD_WORDS = 1024


class VectorType(types.Type):
    """``lanes`` elements of a type, ``i8`` to ``i64`` or ``f32``; LLVM splits what is too wide."""

    def __init__(self, element: str, lanes: int):
        self.element, self.lanes = element, lanes
        super().__init__(f"{element}x{lanes}")

    @property
    def llvm(self) -> ir.VectorType:
        """The LLVM type of a value."""
        return ir.VectorType(_ELEMENTS[self.element], self.lanes)


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, vector.llvm)


I8X32 = VectorType("i8", 32)
I16X16 = VectorType("i16", 16)
I32X8 = VectorType("i32", 8)
I64X8 = VectorType("i64", 8)
F32X32 = VectorType("f32", 32)

# --- operators on bytes -----------------------------------------------------------------------


def _register(op, instruction: str) -> None:
    @infer_global(op)
    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            left, right = args
            if left == I8X32 and (right == I8X32 or isinstance(right, types.Integer)):
                return signature(left, *args)
            return None

    @lower_builtin(op, VectorType, VectorType)
    def _with_vector(context, builder, sig, args):
        return getattr(builder, instruction)(*args)

    @lower_builtin(op, VectorType, types.Integer)
    def _with_scalar(context, builder, sig, args):
        return getattr(builder, instruction)(args[0], splat(builder, args[1], I8X32))


for _op, _instruction in ((operator.add, "add"), (operator.and_, "and_"), (operator.or_, "or_")):
    _register(_op, _instruction)

# --- what instructions are emitted with ---------------------------------------------------------


def splat(builder, scalar, vector: VectorType):
    """Emit a vector with every lane equal to the integer ``scalar``, cut to its width."""
    element = _ELEMENTS[vector.element]
    if scalar.type.width > element.width:
        scalar = builder.trunc(scalar, element)
    undefined = ir.Constant(vector.llvm, ir.Undefined)
    return pick(builder, builder.insert_element(undefined, scalar, _INDEX(0)), [0] * vector.lanes)


def pick(builder, vector, order, other=None):
    """Emit the lanes ``order`` of ``vector``, those of ``other`` being counted after them."""
    chosen = ir.Constant(ir.VectorType(_INDEX, len(order)), list(order))
    return builder.shuffle_vector(vector, vector if other is None else other, chosen)


def call(builder, name: str, result: VectorType, *args):
    """Emit a call of the LLVM intrinsic ``name``."""
    form = ir.FunctionType(result.llvm, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, form, name), args)


def _address(context, builder, array_type, array, index, vector: VectorType):
    """Emit the address of item ``index`` of a contiguous 1-D array, as that of a vector."""
    if (array_type.layout, array_type.ndim) != ("C", 1):
        raise TypeError(f"vectors lie in contiguous 1-D arrays, found {array_type}")
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.llvm.as_pointer())


def load_vector(context, builder, array_type, array, index, vector: VectorType):
    """Emit a load of ``vector`` from item ``index`` of a contiguous 1-D array."""
    return builder.load(_address(context, builder, array_type, array, index, vector), align=1)


def store_vector(context, builder, array_type, array, index, vector: VectorType, value):
    """Emit a store of ``value`` to item ``index`` of a contiguous 1-D array."""
    builder.store(value, _address(context, builder, array_type, array, index, vector), align=1)


def sum_of_lanes(builder, vector, add: str):
    """Emit the sum: the upper half of the lanes is added to the lower until one is left."""
    while vector.type.count > 1:
        half = vector.type.count // 2
        low, high = pick(builder, vector, range(half)), pick(builder, vector, range(half, 2 * half))
        vector = getattr(builder, add)(low, high)
    return builder.extract_element(vector, _INDEX(0))


# --- bytes ------------------------------------------------------------------------------------


@intrinsic
def load_bytes(typing, array, index):
    """32 bytes from item ``index`` of a contiguous 1-D array of any dtype."""

    def emit(context, builder, sig, args):
        return load_vector(context, builder, sig.args[0], *args, I8X32)

    return I8X32(array, types.intp), emit


@intrinsic
def prefetch(typing, array, index):
    """Start to load the cache line of item ``index``, which may lie past the end of the array."""

    def emit(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        line = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        form = ir.FunctionType(ir.VoidType(), [line.type, _INDEX, _INDEX, _INDEX])
        function = cgutils.get_or_insert_function(builder.module, form, "llvm.prefetch.p0")
        builder.call(function, [line, _INDEX(0), _INDEX(3), _INDEX(1)])  # read, keep, data
        return context.get_dummy_value()

    return types.none(array, types.intp), emit


def constant(values):
    """Return a kernel function that gives the bytes ``values``, repeated to fill a vector."""
    vector = ir.Constant(I8X32.llvm, list(values) * (32 // len(values)))

    @intrinsic
    def get(typing):
        return I8X32(), lambda context, builder, sig, args: vector

    return get


@intrinsic
def pshufb(typing, table, index):
    """``table[index & 15]`` within each half of 16 bytes; bit 7 of the index must be 0."""

    def emit(context, builder, sig, args):
        return call(builder, "llvm.x86.avx2.pshuf.b", I8X32, *args)

    return I8X32(I8X32, I8X32), emit


@intrinsic
def psignb(typing, value, sign):
    """``value`` negated where ``sign`` < 0, and 0 where ``sign`` is 0."""

    def emit(context, builder, sig, args):
        return call(builder, "llvm.x86.avx2.psign.b", I8X32, *args)

    return I8X32(I8X32, I8X32), emit


@intrinsic
def blend(typing, mask, yes, no):
    """``yes`` where bit 7 of ``mask`` is 1, else ``no``: vpblendvb."""

    def emit(context, builder, sig, args):
        mask, yes, no = args
        negative = builder.icmp_signed("<", mask, ir.Constant(I8X32.llvm, None))
        return builder.select(negative, yes, no)

    return I8X32(I8X32, I8X32, I8X32), emit


@intrinsic
def psllw(typing, value, count):
    """Pairs of bytes shifted left by ``count``: the low byte's upper bits enter the high byte."""
    return I8X32(I8X32, types.intp), _shift_pairs("shl")


@intrinsic
def psrlw(typing, value, count):
    """Pairs of bytes shifted right by ``count``: the high byte's lower bits enter the low byte."""
    return I8X32(I8X32, types.intp), _shift_pairs("lshr")


def _shift_pairs(instruction: str):
    def emit(context, builder, sig, args):
        pairs = builder.bitcast(args[0], I16X16.llvm)
        shifted = getattr(builder, instruction)(pairs, splat(builder, args[1], I16X16))
        return builder.bitcast(shifted, I8X32.llvm)

    return emit


@intrinsic
def spread_bits(typing, bits):
    """Bytes 2g and 2g + 1 are all ones where bit g of the uint16 ``bits`` is 1, else 0."""

    def emit(context, builder, sig, args):
        bit = ir.Constant(I16X16.llvm, [1 << g for g in range(16)])
        chosen = builder.and_(splat(builder, args[0], I16X16), bit)
        mask = builder.sext(builder.icmp_signed("==", chosen, bit), I16X16.llvm)
        return builder.bitcast(mask, I8X32.llvm)

    return I8X32(types.uint16), emit


# --- floats -----------------------------------------------------------------------------------


@intrinsic
def no_floats(typing):
    """32 floats of 0."""
    return F32X32(), lambda context, builder, sig, args: ir.Constant(F32X32.llvm, None)


@intrinsic
def load_floats(typing, array, index):
    """Items ``index`` to ``index + 31`` of float32[n]."""

    def emit(context, builder, sig, args):
        return load_vector(context, builder, sig.args[0], *args, F32X32)

    return F32X32(array, types.intp), emit


@intrinsic
def fma(typing, a, b, c):
    """``a * b + c`` rounded once."""

    def emit(context, builder, sig, args):
        return call(builder, "llvm.fma.v32f32", F32X32, *args)

    return F32X32(F32X32, F32X32, F32X32), emit


@intrinsic
def sum_floats(typing, values):
    """The sum of 32 floats: lanes i and i + 16 are added, then i and i + 8, to i and i + 1."""

    def emit(context, builder, sig, args):
        return sum_of_lanes(builder, args[0], "fadd")

    return types.float32(F32X32), emit
