"""Each vector operation against NumPy."""

import numpy as np
from cpu_cases import WITHOUT_AVX2
from numba import njit

from amssim.cpu import simd, sums

pytestmark = WITHOUT_AVX2
RNG = np.random.default_rng(0)
A, B, C = RNG.integers(-128, 128, (3, 32), dtype=np.int8)
BYTES = simd.I8X32


@simd.intrinsic
def store_bytes(typing, array, index, value):
    def emit(context, builder, sig, args):
        array, index, value = args
        simd.store_vector(context, builder, sig.args[0], array, index, BYTES, value)
        return context.get_dummy_value()

    return simd.types.none(array, simd.types.intp, BYTES), emit


@njit
def byte_operations(a, b, c, bits, out):
    x, y, z = simd.load_bytes(a, 0), simd.load_bytes(b, 0), simd.load_bytes(c, 0)
    store_bytes(out[0], 0, x + y)
    store_bytes(out[1], 0, x & y)
    store_bytes(out[2], 0, x | 65)
    store_bytes(out[3], 0, simd.blend(z, x, y))
    store_bytes(out[4], 0, simd.psignb(x, y))
    store_bytes(out[5], 0, simd.pshufb(x, y & 127))
    store_bytes(out[6], 0, simd.psllw(x, 3))
    store_bytes(out[7], 0, simd.psrlw(x, 4))
    store_bytes(out[8], 0, simd.spread_bits(bits))


def test_bytes():
    bits = np.uint16(0b1010_0000_1111_0001)
    b = B.copy()
    b[:3] = 0, -128, 127
    out = np.empty((9, 32), np.int8)
    byte_operations(A, b, C, bits, out)
    half = np.arange(32) // 16 * 16
    pairs = A.view(np.uint16)
    spread = np.repeat(-(bits >> np.arange(16, dtype=np.uint16) & 1).astype(np.int8), 2)
    expected = [
        A + b,
        A & b,
        A | np.int8(65),
        np.where(C < 0, A, b),
        A * np.sign(b),
        A[half + (b & 15)],
        (pairs << 3).view(np.int8),
        (pairs >> 4).view(np.int8),
        spread,
    ]
    for found, wanted in zip(out, expected, strict=True):
        assert (found == wanted).all()


@njit
def float_operations(x, y):
    u, v = simd.load_floats(x, 0), simd.load_floats(y, 0)
    return simd.sum_floats(u), simd.sum_floats(simd.fma(u, v, simd.no_floats()))


def test_floats_are_summed_in_halves():
    x, y = RNG.standard_normal((2, 32)).astype(np.float32) * np.float32(1000)
    for found, terms in zip(float_operations(x, y), (x, x * y), strict=True):
        while len(terms) > 1:
            terms = terms[: len(terms) // 2] + terms[len(terms) // 2 :]
        assert found == terms[0]


@njit
def widened(low, high, out):
    sums.store_halves(((simd.load_bytes(low, 0), simd.load_bytes(high, 0)),), out, 0)


def test_every_half_is_widened_in_its_place():
    halves = np.arange(65536, dtype=np.uint16).reshape(-1, 32)
    out = np.empty(32, np.float32)
    for some in halves[RNG.permutation(len(halves))[:256]]:
        widened((some & 255).astype(np.uint8), (some >> 8).astype(np.uint8), out)
        assert np.array_equal(out, some.view(np.float16).astype(np.float32), equal_nan=True)


@njit
def integer_sums(weights, x):
    w = (simd.load_bytes(weights, 0), simd.load_bytes(weights, 32))
    added = sums.add_integer_products(sums.no_sums(x), w, x, 0)
    return sums.totals(sums.add_integer_products(added, w, x, 0), x)


def test_products_with_int8_hold_at_the_extremes():
    weights = np.full(64, 128, np.uint8)
    x = np.int8([[127] * 64, [-127] * 64, [127, -127] * 32])
    assert integer_sums(weights, tuple(x)) == tuple(2 * 128 * x.sum(axis=1, dtype=int))
    weights = RNG.integers(0, 129, 64, dtype=np.uint8)
    x = RNG.integers(-127, 128, (2, 64), dtype=np.int8)
    assert integer_sums(weights, tuple(x)) == tuple(2 * x.astype(int) @ weights)


def test_products_with_int16_take_even_columns_first():
    weights = RNG.integers(0, 256, 64, dtype=np.uint8)
    x = RNG.integers(-32512, 32513, (5, 64)).astype(np.int16)
    apart = x.reshape(5, 2, 16, 2).swapaxes(2, 3).reshape(5, 64)
    assert integer_sums(weights, tuple(apart)) == tuple(2 * x.astype(int) @ weights)
