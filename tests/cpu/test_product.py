from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest
from cpu_cases import (
    PUBLISHED,
    WITHOUT_AVX2,
    exact,
    float_bound,
    integer_product,
    packed_codes,
    random_packed,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import amssim
from amssim import InputError, UnsupportedError, scheme, testing
from amssim.tensor.packed import PackedTensor
from amssim.tensor.product import gemv, prepare

TAILS = [1, 2, 3, 4, 5, 63, 64, 65, 95, 96, 97, 191, 192, 193, 383, 400, 1535, 1536, 1537, 3100]
BATCHES = [None, 1, 2, 3, 8, 64, 65]
INTEGERS = ["int8", "int16"]


def vectors(columns, batch=None, seed=0):
    """Normal float32[columns] or [batch, columns] with some large values."""
    shape = columns if batch is None else (batch, columns)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * np.where(rng.random(shape) < 0.1, 30, 1)
    return x.astype(np.float32)


def shaped(result, batch):
    return result[0] if batch is None else result


@pytest.mark.parametrize("columns", TAILS)
@pytest.mark.parametrize("name", PUBLISHED)
def test_tails(name, columns, path):
    packed, x = random_packed(name, 4, columns), vectors(columns)
    assert (np.abs(gemv(packed, x) - exact(packed, x)) <= float_bound(packed, x)).all()
    for activations in INTEGERS:
        found = gemv(packed, x, activations=activations)
        assert np.array_equal(found, integer_product(packed, x, activations)[0])


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", PUBLISHED)
def test_batches(name, batch, path):
    packed, x = random_packed(name, 7, 230), vectors(230, batch)
    found = gemv(packed, x)
    assert found.shape == shaped(np.empty((batch or 1, 7)), batch).shape
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert (np.abs(found - exact(packed, x)) <= float_bound(packed, x)).all()
    for activations in INTEGERS:
        wanted = shaped(integer_product(packed, x, activations), batch)
        assert np.array_equal(gemv(packed, x, activations=activations), wanted)


def test_an_empty_batch_gives_an_empty_product(path):
    assert gemv(random_packed("fp4.25", 3, 5), np.zeros((0, 5))).shape == (0, 3)


@given(st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_scheme(path, data):
    s = data.draw(testing.schemes(max_k=64))
    rows, columns = data.draw(testing.shapes(max_rows=3, max_columns=300))
    block = data.draw(st.none() | st.integers(1, columns))
    packed = random_packed(s.name, rows, columns, scale_block=block, seed=columns)
    x = vectors(columns, data.draw(st.integers(1, 3)))
    assert (np.abs(gemv(packed, x) - exact(packed, x)) <= float_bound(packed, x)).all()
    for activations in INTEGERS:
        found = gemv(packed, x, activations=activations)
        assert np.array_equal(found, integer_product(packed, x, activations))


@pytest.mark.parametrize("activations", ["float32", *INTEGERS])
@pytest.mark.parametrize(("name", "columns"), [("fp5.33", 192), ("fp4.25", 64)])
def test_every_half_word_in_every_place(name, columns, activations, path):
    """The product with the unit vectors is the matrix of weights itself."""
    s = scheme(name)
    words = np.arange(65536, dtype=np.uint16).reshape(-1, columns // s.k)
    if name == "fp4.25":
        shared = np.random.default_rng(0).integers(0, 65536, (len(words), 1), np.uint16)
        words = np.concatenate([words, shared], axis=1)
    ones = np.ones((len(words), 1), np.float32)
    packed = PackedTensor(s, (len(words), columns), words, ones)
    weights = exact(packed, np.eye(columns))
    # one step is the whole of x, so that quantised x is exact but for the rounding of its scale
    found = gemv(packed, np.eye(columns), activations=activations)
    assert np.abs(found - weights).max() <= (0 if activations == "float32" else 1e-6)


@WITHOUT_AVX2
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_order_of_the_float_sum_is_the_documented_one(name, monkeypatch):
    """32 running sums with one rounding per product, chunks of 1536 columns, halves added up."""
    monkeypatch.setenv("AMSSIM_CPU", "avx2")
    columns = 1536 + 700
    packed, x = random_packed(name, 5, columns), vectors(columns)
    s = packed.scheme
    size = (3 * 64) if s.k == 3 else 64
    order = np.arange(-(-columns // size) * size)
    if s.k == 3:  # vector 3 h + m of a tile holds column 3 (32 h + i) + m
        order = order.reshape(-1, 2, 32, 3).transpose(0, 1, 3, 2).reshape(-1)
    else:  # vector n of a block holds column 2 i + n
        order = order.reshape(-1, 32, 2).transpose(0, 2, 1).reshape(-1)
    w = np.zeros((5, len(order)))
    w[:, :columns] = s.minifloat.decode(packed.codes())
    wide = np.zeros(len(order))
    wide[:columns] = x
    w, wide = w[:, order], wide[order]
    total = np.zeros(5, np.float32)
    for first in range(0, len(order), 1536):
        sums = np.zeros((5, 32), np.float32)
        for k in range(first, min(first + 1536, len(order)), 32):
            term = w[:, k : k + 32].astype(np.longdouble) * wide[k : k + 32]
            sums = (sums + term).astype(np.float32)
        while sums.shape[1] > 1:
            half = sums.shape[1] // 2
            sums = sums[:, :half] + sums[:, half:]
        total += sums[:, 0]
    assert np.array_equal(gemv(packed, x), total * packed.scales[:, 0])


@pytest.mark.parametrize("activations", ["float32", *INTEGERS])
@pytest.mark.parametrize("name", [*PUBLISHED, "fp6-e3m2"])
def test_a_row_has_the_same_bits_in_every_batch_and_with_any_threads(
    name, activations, path, many_threads
):
    packed, x = random_packed(name, 17, 1700), vectors(1700, 9)
    wanted = gemv(packed, x, activations=activations, threads=1)
    for threads in (2, 3, 5, 40):
        assert np.array_equal(gemv(packed, x, activations=activations, threads=threads), wanted)
    for batch in (1, 2, 3, 4, 5):
        found = gemv(packed, x[:batch], activations=activations, threads=2)
        assert np.array_equal(found, wanted[:batch])
    assert np.array_equal(gemv(packed, x[4], activations=activations), wanted[4])


def test_callers_may_be_threads_themselves(path, many_threads):
    packed, x = random_packed("fp5.33", 40, 500), vectors(500, 6)
    wanted = gemv(packed, x, threads=1)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: gemv(packed, x, threads=2), range(24)))
    assert all(np.array_equal(f, wanted) for f in found)


@pytest.mark.parametrize("activations", INTEGERS)
@pytest.mark.parametrize("name", PUBLISHED)
def test_integer_sums_at_the_extremes(name, activations, path):
    s, columns = scheme(name), 960
    largest = s.minifloat.magnitudes - 1
    sign = np.where(np.arange(columns) // s.k % 2, s.minifloat.sign_bit, 0).astype(np.uint8)
    codes = np.array([np.full(columns, largest), np.full(columns, 2 * largest + 1), largest + sign])
    packed = packed_codes(codes.astype(np.uint8), s)
    for pattern in (np.ones(columns), np.where(sign, -1.0, 1.0), np.resize([1.0, -1], columns)):
        found = gemv(packed, pattern, activations=activations)
        assert np.array_equal(found, integer_product(packed, pattern, activations)[0])


@pytest.mark.parametrize("activations", INTEGERS)
@pytest.mark.parametrize(("name", "columns"), [("fp5.33", 1_200_000), ("fp4.25", 2_500_000)])
def test_no_long_row_overflows(name, columns, activations, path):
    """Lanes of 32 bits would, in eight rows of x at once, were the row one chunk."""
    s = scheme(name)
    count = amssim.layout.layout(s).row_words(columns)
    largest = int(s.minifloat.max_value / s.minifloat.min_subnormal)
    if name == "fp5.33":
        words = np.full((1, count), 0b1_01111_01111_01111, np.uint16)
    else:
        words = np.full((1, count), 0x7777, np.uint16)
        words[:, 16::17] = 0xFFFF
    packed = PackedTensor(s, (1, columns), words, np.ones((1, 1), np.float32))
    step = {"int8": 127, "int16": 32512}[activations]
    total = np.float32(columns * largest * step) * np.float32(s.minifloat.min_subnormal)
    found = gemv(packed, np.ones((8, columns), np.float32), activations=activations)
    assert (found == total * (np.float32(1) / np.float32(step))).all()


@pytest.mark.parametrize("name", PUBLISHED)
def test_nan_and_infinity_pass_as_in_ieee_arithmetic(name, path):
    packed = random_packed(name, 40, 70)
    for bad in (np.nan, np.inf, -np.inf):
        x = vectors(70, 6)
        x[1, 5] = bad
        with np.errstate(invalid="ignore"):
            wanted = exact(packed, x)
        found = gemv(packed, x)
        assert np.array_equal(np.isnan(found), np.isnan(wanted))
        infinite = np.isinf(wanted)
        assert np.array_equal(found[infinite], wanted[infinite])
        assert np.isfinite(found[2:]).all()


@pytest.mark.parametrize("activations", ["float32", *INTEGERS])
def test_zero_gives_zero(activations, path):
    packed = random_packed("fp5.33", 3, 100)
    assert not gemv(packed, np.zeros((2, 100)), activations=activations).any()


def test_tiny_and_huge_x_stay_in_bound(path):
    packed = random_packed("fp4.25", 5, 200)
    for size in (1e-44, 1e-37, 1e-30, 1e30, 3e37):
        x = (vectors(200) * np.float32(0.01) * size).astype(np.float32)
        assert (np.abs(gemv(packed, x) - exact(packed, x)) <= float_bound(packed, x)).all()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_dtypes_and_strides_are_converted_to_float32(dtype, path):
    packed = random_packed("fp5.33", 3, 50)
    x = vectors(50, 4).astype(dtype)
    wanted = gemv(packed, x.astype(np.float32))
    assert np.array_equal(gemv(packed, x), wanted)
    assert np.array_equal(gemv(packed, np.asfortranarray(x)), wanted)
    assert np.array_equal(gemv(packed, x[::-2]), wanted[::-2])


@WITHOUT_AVX2
def test_prepare_makes_the_word_order_once(monkeypatch):
    monkeypatch.setenv("AMSSIM_CPU", "plain")
    packed = random_packed("fp5.33", 3, 100)
    prepare(packed)
    assert not packed.derived
    monkeypatch.setenv("AMSSIM_CPU", "avx2")
    prepare(packed, activations="int8")
    (tiles,) = packed.derived.values()
    gemv(packed, np.zeros(100))
    assert [held is tiles for held in packed.derived.values()] == [True]


def test_what_is_no_packed_tensor_is_refused():
    for call in (lambda: gemv(np.eye(3), np.zeros(3)), lambda: prepare(np.eye(3))):
        with pytest.raises(InputError, match="must be a PackedTensor, found ndarray: quantize it"):
            call()


def test_arguments_are_checked(path):
    packed = random_packed("fp5.33", 2, 3)
    with pytest.raises(InputError, match="unknown activations 'fp8'"):
        gemv(packed, np.zeros(3), activations="fp8")
    with pytest.raises(InputError, match="threads must be a positive whole number"):
        gemv(packed, np.zeros(3), threads=0)
    with pytest.raises(InputError, match=r"x must have shape \(3,\)"):
        gemv(packed, np.zeros(4))
    with pytest.raises(InputError, match="int16 activations need finite numbers"):
        gemv(packed, np.float64([0, 1e39, np.nan]), activations="int16")


def test_a_row_too_long_for_an_exact_float64_sum_is_refused():
    s = scheme("ams-e4m3-k16")
    columns = 1_200_000
    words = np.zeros((1, amssim.layout.layout(s).row_words(columns)), np.uint16)
    packed = PackedTensor(s, (1, columns), words, np.ones((1, 1), np.float32))
    with pytest.raises(UnsupportedError, match=r"1200000 columns .* at most 1127288: split"):
        gemv(packed, np.ones(columns, np.float32), activations="int16")
    assert gemv(packed, np.ones(columns, np.float32), activations="int8") == 0
