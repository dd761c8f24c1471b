"""Vector sums with several rows of x at once: a tuple of accumulators, one or more per row.

A kernel is compiled per number of rows, which is the length of the tuple it is given; the code for
each row is emitted side by side, so that all accumulators stay in registers.
"""

from __future__ import annotations

from functools import reduce
from itertools import product

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from amssim.cpu.simd import (
    F32X32,
    I8X32,
    I16X16,
    I32X8,
    I64X8,
    call,
    load_vector,
    pick,
    store_vector,
    sum_of_lanes,
)

_HALVES = ir.VectorType(ir.HalfType(), 16)


def _chains(x) -> int:
    """Accumulators per array of the tuple type ``x``: eight additions run side by side.

    Where the CPU can, LLVM fuses pmaddwd and the addition into one instruction that takes four
    cycles and can start twice in each.
    """
    return max(1, 8 // len(x))


@intrinsic
def no_sums(typing, x):
    """Sums of 0 for the tuple of arrays ``x``: `_chains` vectors for each."""
    count = len(x) * _chains(x)
    sums = types.UniTuple(I32X8, count)

    def emit(context, builder, sig, args):
        return context.make_tuple(builder, sums, [ir.Constant(I32X8.llvm, None)] * count)

    return sums(x), emit


@intrinsic
def add_integer_products(typing, sums, weights, x, k):
    """``sums[c] += weights[v] * x[c][k + 32 v]``, four neighbours to a 32-bit lane.

    weights  tuple of vectors of 32 uint8, at most 128
    x        tuple of int8[padded columns], -127 to 127: a pair of products fits 16 bits; or of
             int16[padded columns], in 32 of which the even columns come before the odd ones
    """
    products = _BYTE_PRODUCTS if x.dtype.dtype == types.int8 else _WORD_PRODUCTS

    def emit(context, builder, sig, args):
        sums, weights, x, k = args
        added = cgutils.unpack_tuple(builder, sums)
        rows = cgutils.unpack_tuple(builder, x)
        steps = product(enumerate(cgutils.unpack_tuple(builder, weights)), products)
        for step, ((v, weight), (split, first, multiply, vector)) in enumerate(steps):
            factor = split(builder, weight)
            at = builder.add(k, k.type(32 * v + first))
            chain = len(rows) * (step % _chains(rows))
            for c, row in enumerate(rows, start=chain):
                values = load_vector(context, builder, sig.args[2].dtype, row, at, vector)
                added[c] = builder.add(added[c], multiply(builder, factor, values))
        return context.make_tuple(builder, sig.return_type, added)

    return sums(sums, weights, x, types.intp), emit


def _same(builder, weight):
    return weight


def _even(builder, weight):
    pairs = builder.bitcast(weight, I16X16.llvm)
    return builder.and_(pairs, ir.Constant(I16X16.llvm, [255] * 16))


def _odd(builder, weight):
    pairs = builder.bitcast(weight, I16X16.llvm)
    return builder.lshr(pairs, ir.Constant(I16X16.llvm, [8] * 16))


def _bytes(builder, unsigned, signed):
    pairs = call(builder, "llvm.x86.avx2.pmadd.ub.sw", I16X16, unsigned, signed)
    return _words(builder, pairs, ir.Constant(I16X16.llvm, [1] * 16))


def _words(builder, left, right):
    return call(builder, "llvm.x86.avx2.pmadd.wd", I32X8, left, right)


# How a vector of weights meets x: part of it, first column, instruction, vector of x.
_BYTE_PRODUCTS = ((_same, 0, _bytes, I8X32),)
_WORD_PRODUCTS = ((_even, 0, _words, I16X16), (_odd, 16, _words, I16X16))


@intrinsic
def totals(typing, sums, x):
    """The int64 sum of all that was added for each array of the tuple ``x``."""
    result = types.UniTuple(types.int64, len(x))

    def emit(context, builder, sig, args):
        wide = [builder.sext(v, I64X8.llvm) for v in cgutils.unpack_tuple(builder, args[0])]
        added = [reduce(builder.add, wide[c :: len(x)]) for c in range(len(x))]
        return context.make_tuple(builder, result, [sum_of_lanes(builder, v, "add") for v in added])

    return result(sums, x), emit


@intrinsic
def add_half_products(typing, sums, weights, x, k):
    """``sums + weights[v] * x[k + 32 v]`` for each v in turn, each rounded once.

    weights  tuple of pairs of vectors: the lower and upper bytes of 32 halves
    x        float32[padded columns]
    """

    def emit(context, builder, sig, args):
        sums, weights, x, k = args
        for v, pair in enumerate(cgutils.unpack_tuple(builder, weights)):
            at = builder.add(k, k.type(32 * v))
            values = load_vector(context, builder, sig.args[2], x, at, F32X32)
            weight = _widen(builder, *cgutils.unpack_tuple(builder, pair))
            sums = call(builder, "llvm.fma.v32f32", F32X32, weight, values, sums)
        return sums

    return sums(sums, weights, x, types.intp), emit


@intrinsic
def store_halves(typing, weights, to, k):
    """``to[k + 32 v]`` ... = ``weights[v]`` for each v, in float32; see `add_half_products`."""

    def emit(context, builder, sig, args):
        weights, to, k = args
        for v, pair in enumerate(cgutils.unpack_tuple(builder, weights)):
            weight = _widen(builder, *cgutils.unpack_tuple(builder, pair))
            at = builder.add(k, k.type(32 * v))
            store_vector(context, builder, sig.args[1], to, at, F32X32, weight)
        return context.get_dummy_value()

    return types.none(weights, to, types.intp), emit


def _widen(builder, low, high):
    """Emit 32 halves from their lower and upper bytes, as floats: vcvtph2ps.

    AVX2 interleaves bytes within each 16 of a vector. Eight halves are taken from where that leaves
    them: to bring all into one vector first would take two more shuffles for nothing.
    """
    eights = [_interleave(builder, low, high, half, part) for half in (0, 1) for part in (0, 1)]
    lower, upper = (pick(builder, a, range(16), b) for a, b in (eights[:2], eights[2:]))
    return builder.fpext(pick(builder, lower, range(32), upper), F32X32.llvm)


def _interleave(builder, low, high, half: int, part: int):
    """Emit the eight halves of bytes 16 half + 8 part and following."""
    order = [b for i in range(8) for b in (8 * part + i, 32 + 8 * part + i)]
    order += [16 + b for b in order]  # what the same instruction does to the other 16 bytes
    halves = builder.bitcast(pick(builder, low, order, high), _HALVES)
    return pick(builder, halves, range(8 * half, 8 * half + 8))
