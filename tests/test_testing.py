"""The strategies that users get draw what they promise."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from amssim import reference, schemes, testing
from amssim.layout import layout
from amssim.rules import SCALE_RULES, SEARCH_RULES
from oracles import all_minifloats


@given(testing.weights())
def test_weights_are_finite_float32_matrices(w):
    assert w.dtype == np.float32 and w.ndim == 2 and np.isfinite(w).all()


def test_weights_reach_the_hard_cases():
    def drawn(condition):
        return find(testing.weights(), condition) is not None

    assert drawn(lambda w: (np.signbit(w) & (w == 0)).any())
    assert drawn(lambda w: (np.abs(w) > 1e38).any())
    assert drawn(lambda w: ((w != 0) & (np.abs(w) < 1e-38)).any())
    assert drawn(lambda w: w.shape[1] == 65)


@given(testing.schemes(max_k=64), st.data())
def test_words_and_tensors_fit_their_scheme(scheme, data):
    shape = data.draw(testing.shapes())
    words = data.draw(testing.packed_words(scheme, shape=shape))
    assert words.shape == (shape[0], layout(scheme).row_words(shape[1]))
    packed = data.draw(testing.packed_tensors(scheme, shape=shape))
    assert (packed.scheme, packed.shape) == (scheme, shape)


@given(testing.search_rules(), testing.scale_rules(), testing.schemes(presets_only=True))
def test_names(search, scale, scheme):
    assert search in SEARCH_RULES and scale in SCALE_RULES and scheme in schemes()


def test_it_needs_hypothesis_only():
    blocked = "import sys; sys.modules['pytest'] = None; import amssim.testing"
    subprocess.run([sys.executable, "-c", blocked], check=True)
    without = "import sys; sys.modules['hypothesis'] = None; import amssim.testing"
    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True)
    assert "amssim.testing needs Hypothesis: pip install 'amssim[test]'" in done.stderr


@pytest.mark.parametrize("widths", all_minifloats())
def test_every_minifloat_is_drawn(widths):
    assert find(testing.minifloats(), lambda e: (e.exponent_bits, e.mantissa_bits) == widths)


@given(testing.minifloats())
def test_minifloats_are_within_the_limits(element):
    assert 3 <= element.bits <= 8


@given(st.integers(1, 64), st.data())
def test_group_sizes_stay_below_their_limit(max_k, data):
    scheme = data.draw(testing.schemes(max_k=max_k))
    assert scheme.k <= max_k or scheme in schemes()


@given(st.integers(1, 9), st.integers(1, 99), st.data())
def test_shapes_stay_within_their_limits(rows, columns, data):
    shape = data.draw(testing.shapes(max_rows=rows, max_columns=columns))
    assert 1 <= shape[0] <= rows and 1 <= shape[1] <= columns


def test_shapes_reach_the_edges_of_blocks():
    for columns in (1, 16, 47, 48, 49, 64, 80):
        assert find(testing.shapes(), lambda s, c=columns: s[1] == c)[1] == columns


@given(testing.weights(shape=(2, 9), extremes=False))
def test_without_extremes_no_weight_is_near_the_ends_of_float32(w):
    assert w.shape == (2, 9)
    assert (np.abs(w) < 1e15).all()


@given(testing.schemes(), st.data())
def test_padding_of_packed_tensors_is_zero_and_repacking_changes_nothing(scheme, data):
    packed = data.draw(testing.packed_tensors(scheme))
    assert np.array_equal(reference.pack(packed.codes(), scheme), packed.words)
    assert (packed.scales == np.exp2(np.round(np.log2(packed.scales)))).all()


def test_random_words_reach_the_padding():
    scheme = schemes()[-1]
    words = find(
        testing.packed_words(scheme, shape=(1, 1)),
        lambda words: (reference.pack(reference.unpack(words, scheme, 1), scheme) != words).any(),
    )
    assert words.dtype == np.uint16
