"""The specification itself, judged by other implementations and by exhaustive search."""

import ast
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amssim import Minifloat, Scheme, reference, scheme, schemes, testing
from amssim.layout import layout
from oracles import (
    all_minifloats,
    best_group,
    bits_by_hand,
    gfloat_codes,
    group_error,
    ties,
)


@pytest.mark.parametrize("widths", all_minifloats())
def test_rounding_agrees_with_gfloat_on_every_tie_and_its_neighbours(widths):
    element = Minifloat(*widths)
    x = np.abs(ties(element))
    assert np.array_equal(reference.nearest(x, element), gfloat_codes(x, element))


@pytest.mark.parametrize(
    ("widths", "dtype"),
    [((2, 3), "float6_e2m3fn"), ((3, 2), "float6_e3m2fn"), ((2, 1), "float4_e2m1fn")],
)
def test_rounding_agrees_with_ml_dtypes_on_every_half(widths, dtype):
    halves = np.arange(2**15, dtype=np.uint16).view(np.float16).astype(np.float32)
    x = np.concatenate([halves[np.isfinite(halves)], np.abs(ties(Minifloat(*widths)))])
    expected = x.astype(getattr(ml_dtypes, dtype)).view(np.uint8)
    assert np.array_equal(reference.nearest(x, Minifloat(*widths)), expected)


@pytest.mark.parametrize("widths", [w for w in all_minifloats() if w[1] > 1])
def test_even_candidates_are_those_of_the_next_smaller_format(widths):
    x, y = widths
    magnitude = np.abs(ties(Minifloat(x, y)))
    even = reference.nearest_with_bit(magnitude, Minifloat(x, y), 0)
    assert np.array_equal(even, 2 * gfloat_codes(magnitude, Minifloat(x, y - 1)))


@given(st.data())
@settings(max_examples=300)
def test_adaptive_search_finds_the_least_error_of_all_codes(data):
    s = data.draw(testing.schemes(max_k=4))
    step = s.minifloat.min_subnormal / 8  # fine enough for all ties, and exact in float32
    limit = int(1.2 * s.minifloat.max_value / step)
    x = np.float32(data.draw(st.lists(st.integers(-limit, limit), min_size=s.k, max_size=s.k)))
    x *= np.float32(step)
    codes = reference.encode(x[None], s)[0]
    least, bit = best_group(x, s)
    assert group_error(x, codes, s) == least
    assert set(codes & 1) == {bit}


def test_a_tie_between_odd_codes_goes_to_the_even_top_code():
    # 1.25 and 0.25 are even e2m2 codes; each lies midway between two odd ones
    codes = reference.encode(np.float32([[1.25, 0.25]]), Scheme(Minifloat(2, 2), 2), "one")[0]
    assert codes.tolist() == [0b00101, 0b00001]
    # the neighbours below and above 2 = 0b01000 are 1.75 and 2.5: not a tie
    assert reference.encode(np.float32([[2.0]]), Scheme(Minifloat(2, 2), 1), "one")[0] == 0b00111


def test_a_tie_between_the_bits_takes_zero():
    # each weight midway between an even and an odd code
    codes = reference.encode(np.float32([[0.0625, 0.9375, 1.0625]]), scheme("fp5.33"))[0]
    assert (codes & 1).tolist() == [0, 0, 0]


def test_negative_zero_is_never_written():
    tiny = np.float32([[-0.0, -1e-9, -0.04]])
    for rule, codes in (("zero", [0, 0, 0]), ("one", [1, 33, 33])):
        assert reference.encode(tiny, scheme("fp5.33"), rule)[0].tolist() == codes


@pytest.mark.parametrize(
    ("rule", "codes"),
    [
        ("adaptive", [0b000010, 0b000100, 0b000110]),
        ("replace", [0b000010, 0b000100, 0b000110]),
        ("majority", [0b000010, 0b000100, 0b000110]),
        ("zero", [0b000010, 0b000100, 0b000110]),
        ("one", [0b000001, 0b000101, 0b000101]),
    ],
)
def test_rules_on_an_even_group(rule, codes):
    x = np.float32([[0.25, 0.5, 0.75]])
    assert reference.encode(x, scheme("fp5.33"), rule)[0].tolist() == codes


def test_replace_keeps_the_rounded_top_bits():
    # full format: codes 1, 1, 4; the best shared bit is 1, which turns 4 into 5
    x = np.float32([[0.125, 0.125, 0.48]])
    assert reference.encode(x, scheme("fp5.33"), "replace")[0].tolist() == [1, 1, 5]
    assert reference.encode(x, scheme("fp5.33"), "adaptive")[0].tolist() == [1, 1, 3]


def test_importance_moves_the_decision():
    x = np.float32([[0.125, 0.125, 0.5]])
    heavy_last = np.float32([1, 1, 9])
    assert reference.encode(x, scheme("fp5.33"))[0, 0] & 1 == 1
    assert reference.encode(x, scheme("fp5.33"), "adaptive", heavy_last)[0, 0] & 1 == 0


# Squared error relative to plain rounding in the full format, measured with independent code.
@pytest.mark.parametrize(
    ("name", "rule", "ratio"),
    [
        ("fp5.33", "adaptive", 1.91),
        ("fp5.33", "replace", 2.85),
        ("fp5.33", "majority", 4.02),
        ("fp5.33", "zero", 3.99),
        ("fp4.25", "adaptive", 2.14),
        ("fp4.25", "replace", 3.35),
        ("fp4.25", "majority", 4.55),
        ("fp4.25", "zero", 3.90),
    ],
)
def test_cost_of_sharing_on_normal_weights(name, rule, ratio):
    w = np.random.default_rng(1).standard_normal((64, 1536)).astype(np.float32)
    s = scheme(name)
    plain = Scheme(s.minifloat, 1)

    def error(form, search):
        words, scales = reference.quantize(w, form, search)
        return np.square(reference.dequantize(words, scales, form, w.shape[1]) - w).mean()

    assert error(s, rule) / error(plain, "adaptive") == pytest.approx(ratio, rel=0.03)


# --- scales -------------------------------------------------------------------------------------


def test_absmax_scale_is_one_correctly_rounded_division():
    w = np.float32([[3.0, -0.7]])
    assert reference.find_scales(w, scheme("fp5.33"))[0, 0] == np.float32(0.4)
    assert reference.find_scales(w * 0, scheme("fp5.33"))[0, 0] == 1


def test_scales_never_underflow():
    w = np.float32([[1e-45, 0]])
    for rule in ("absmax", "mse"):
        assert reference.find_scales(w, scheme("fp5.33"), scale=rule)[0, 0] == np.float32(2.0**-126)


def test_mse_scale_never_loses_to_absmax():
    w = np.random.default_rng(2).standard_normal((8, 96)).astype(np.float32)
    for block in (None, 32, 40):
        errors = []
        for rule in ("absmax", "mse"):
            words, scales = reference.quantize(w, scheme("fp4.25"), scale=rule, scale_block=block)
            restored = reference.dequantize(words, scales, scheme("fp4.25"), 96, block)
            errors.append(np.square(restored - w).sum(axis=1))
        assert (errors[1] <= errors[0] * 1.0001).all()


# --- packing ------------------------------------------------------------------------------------


@given(st.data())
def test_packing_agrees_with_python_integers(data):
    s = data.draw(testing.schemes(max_k=20))
    packed = data.draw(testing.packed_words(s, shape=(2, data.draw(st.integers(1, 90)))))
    columns = data.draw(
        st.integers(1, packed.shape[1] // layout(s).block_words * layout(s).block_weights)
    )
    codes = reference.unpack(packed[:, : layout(s).row_words(columns)], s, columns)
    assert [bits_by_hand(row, s) for row in codes] == reference.pack(codes, s).tolist()
    assert np.array_equal(reference.unpack(reference.pack(codes, s), s, columns), codes)


@pytest.mark.parametrize("s", schemes(), ids=str)
def test_unpack_then_pack_keeps_all_half_words(s):
    form = layout(s)
    words = np.arange(2**16, dtype=np.uint16)
    words = np.resize(words, -(-words.size // form.block_words) * form.block_words)[None]
    columns = words.shape[1] // form.block_words * form.block_weights
    assert np.array_equal(reference.pack(reference.unpack(words, s, columns), s), words)


def functions_of(path) -> dict[str, list[tuple[str, str | None]]]:
    """Names of a module's functions, with parameters and their defaults."""
    signatures = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            a = node.args
            required = [None] * (len(a.args) - len(a.defaults))
            defaults = required + [ast.unparse(d) for d in a.defaults]
            names = [arg.arg for arg in a.args]
            signatures[node.name] = list(zip(names, defaults, strict=True))
    return signatures


def test_the_types_beside_the_specification_are_those_of_its_functions():
    path = Path(reference.__file__)
    assert functions_of(path.with_suffix(".pyi")) == functions_of(path)
    for node in ast.parse(path.with_suffix(".pyi").read_text()).body:
        if isinstance(node, ast.FunctionDef):
            assert node.returns and all(arg.annotation for arg in node.args.args), node.name
