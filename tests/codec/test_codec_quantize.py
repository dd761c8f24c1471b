"""quantize against the specification, bit for bit, and against exhaustive search."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amssim import Minifloat, Scheme, dequantize, quantize, reference, schemes, testing
from amssim.rules import SEARCH_RULES
from oracles import all_minifloats, best_group, group_error, ties


def assert_specified(weights, form, **rules):
    packed = quantize(weights, form, **rules)
    with np.errstate(all="ignore"):
        words, scales = reference.quantize(weights, form, **rules)
    assert np.array_equal(packed.scales.view(np.uint32), scales.view(np.uint32))
    assert np.array_equal(packed.words, words)


def any_scheme():
    return testing.schemes() | st.builds(Scheme, testing.minifloats(), st.integers(1, 64))


def importances(columns):
    values = st.sampled_from([0.0, 1.0, 1e-30, 0.5, 3.0, 1e38])
    return st.lists(values, min_size=columns, max_size=columns).map(np.array)


@given(st.data())
@settings(max_examples=300)
def test_every_scheme_and_rule(data):
    form = data.draw(any_scheme())
    k = form.k
    columns = st.sampled_from(
        [1, 2, k - 1 or 1, k, k + 1, 2 * k + 1, 16 * k, 16 * k + 1, 63, 64, 65]
    )
    shape = data.draw(st.tuples(st.integers(1, 3), columns))
    weights = data.draw(testing.weights(form, shape=shape))
    assert_specified(
        weights,
        form,
        search=data.draw(testing.search_rules()),
        scale=data.draw(st.sampled_from(["absmax", "absmax", "mse"])),
        scale_block=data.draw(st.none() | st.integers(1, shape[1])),
        importance=data.draw(st.none() | importances(shape[1])),
    )


# Kernels take 6144 weights at once, 1536 to decode, 2048 under mse: rows that end in a later chunk.
@pytest.mark.parametrize("scale", ["absmax", "mse"])
@pytest.mark.parametrize("widths_and_k", [(2, 3, 3), (2, 2, 4), (2, 3, 1), (3, 2, 4), (4, 3, 7)])
@pytest.mark.parametrize("scale_block", [None, 900])
def test_rows_of_several_chunks(widths_and_k, scale, scale_block):
    x, y, k = widths_and_k
    rng = np.random.default_rng(k)
    weights = rng.standard_t(4, (2, 7301)).astype(np.float32)
    importance = rng.random(7301) if k == 4 else None
    form = Scheme(Minifloat(x, y), k)
    rules = {"scale": scale, "scale_block": scale_block, "importance": importance}
    assert_specified(weights, form, **rules)


@pytest.mark.parametrize("widths", all_minifloats())
def test_rounding_with_a_fixed_bit_on_every_tie_and_its_neighbours(widths):
    form = Scheme(Minifloat(*widths), 2)
    element = form.minifloat
    x = ties(element)
    x = np.append(x[np.abs(x) < element.max_value], np.float32(element.max_value))[None]
    for bit, search in enumerate(("zero", "one")):
        packed = quantize(x, form, search=search)
        assert packed.scales.item() == 1
        assert packed.codes()[0].tolist() == nearest_by_hand(x[0], element, bit)


def nearest_by_hand(x, element, bit: int) -> list[int]:
    """The nearest code with last bit ``bit``, a tie to the even top code, in exact arithmetic."""

    def exact(v):  # every float32 is a whole number of 2^-149
        return int(abs(Fraction(float(v))) * 2**149)

    grid = [(exact(element.values[c]), c) for c in range(bit, element.magnitudes, 2)]
    nearest = [min((abs(exact(v) - g), c // 2 % 2, c) for g, c in grid)[2] for v in x]
    return [c | element.sign_bit if v < 0 and c else c for v, c in zip(x, nearest, strict=True)]


@given(st.data())
@settings(max_examples=150)
def test_adaptive_search_finds_the_least_error_of_all_codes(data):
    form = data.draw(testing.schemes(max_k=4))
    element, k = form.minifloat, form.k
    step = element.min_subnormal / 8  # fine enough for all ties, and exact in float32
    limit = int(element.max_value / step)
    numbers = st.lists(st.integers(-limit, limit), min_size=k, max_size=k)
    x = np.float32(data.draw(numbers)) * np.float32(step)
    row = np.append(np.full(k, element.max_value, np.float32), x)  # a group that makes the scale 1
    codes = quantize(row[None], form).codes()[0, k:]
    least, bit = best_group(x, form)
    assert group_error(x, codes, form) == least
    assert set(codes & 1) == {bit}


@pytest.mark.parametrize("form", schemes(), ids=str)
def test_quantizing_restored_weights_changes_nothing(form):
    element = form.minifloat
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2**element.bits, (40, 240), dtype=np.uint8)
    shared = np.repeat(codes[:, :: form.k] & 1, form.k, axis=1)
    codes = codes & 0xFE | shared
    codes[codes == element.sign_bit] = 0
    codes[:, : form.k] |= element.magnitudes - 1  # the largest value, so that the scale is known
    weights = element.decode(codes) * np.exp2(rng.integers(-30, 30, (40, 1))).astype(np.float32)
    packed = quantize(weights, form)
    assert np.array_equal(packed.codes(), codes)
    assert np.array_equal(dequantize(packed), weights)


EXTREMES = {
    "zeros": [0.0, -0.0, 0.0, -0.0, 0.0],
    "subnormal": [1e-45, -3e-45, 2e-40, -1e-39, 0.0],
    "scale at its floor": [1e-38, -7e-38, 3e-39, 8e-38, -1e-45],
    "near the largest": [3.4028235e38, -3.4028235e38, 1e38, -2e38, 1.0],
    "far apart": [3e38, 1e-38, -1e-45, 1.0, -1e20],
    "one outlier": [1000.0, 0.1, -0.1, 0.1, -0.1],
    "constant": [0.3, 0.3, 0.3, 0.3, 0.3],
}


@pytest.mark.parametrize("row", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("scale", ["absmax", "mse"])
def test_extreme_rows(row, scale):
    weights = np.float32([row, [-w for w in row]])
    for search in SEARCH_RULES:
        for widths, k in (((2, 3), 3), ((2, 2), 4), ((4, 1), 2), ((1, 1), 1)):
            assert_specified(weights, Scheme(Minifloat(*widths), k), search=search, scale=scale)


def test_zeros_restore_to_positive_zeros():
    packed = quantize(np.float32([[-0.0, 0.0, -1e-30, 1e-30, 7.5]]), "fp5.33")
    assert dequantize(packed)[0, :2].view(np.uint32).tolist() == [0, 0]
    assert quantize(np.zeros((2, 5), np.float32)).scales.tolist() == [[1], [1]]


@pytest.mark.parametrize("options", [{}, {"scale": "mse"}, {"importance": np.arange(700)}])
def test_threads_change_no_bit(options):
    weights = np.random.default_rng(0).standard_normal((301, 700))
    results = [quantize(weights, "fp4.25", threads=n, **options) for n in (1, 2, 3, 7)]
    assert all(result == results[0] for result in results)
    restored = [dequantize(results[0], "bfloat16", threads=n) for n in (1, 2, 3, 7)]
    assert all(np.array_equal(r, restored[0]) for r in restored)
