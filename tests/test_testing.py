"""The strategies that users get draw what they promise."""

import subprocess
import sys

import numpy as np
from hypothesis import find, given
from hypothesis import strategies as st

from amssim import schemes, testing
from amssim.layout import layout
from amssim.rules import SCALE_RULES, SEARCH_RULES


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
