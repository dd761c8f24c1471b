"""Second moments: importance and Hessian of any given moments, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim.errors import InputError
from amssim.formats.input_moments import InputMoments

SEEDS = st.integers(0, 2**32 - 1)


def products(seed, cols):
    x = np.random.default_rng(seed).standard_normal((3 * cols, cols)) * np.exp(np.arange(cols) / 3)
    return x.T @ x / len(x)


@given(SEEDS, st.integers(1, 8))
def test_importance_is_the_diagonal_over_its_mean(seed, cols):
    h = products(seed, cols)
    diagonal = np.diag(h)
    for given_moments in (h, diagonal):
        importance = InputMoments(given_moments, cols).importance
        assert importance.dtype == np.float32
        assert importance == pytest.approx(diagonal / diagonal.mean(), rel=1e-6)
        assert importance.mean() == pytest.approx(1, rel=1e-5)


@given(SEEDS, st.integers(1, 8), st.floats(1e-6, 1e6))
def test_the_size_of_the_inputs_does_not_matter(seed, cols, factor):
    h = products(seed, cols)
    one, other = InputMoments(h, cols), InputMoments(h * factor, cols)
    assert one.importance == pytest.approx(other.importance, rel=1e-5)
    assert one.hessian == pytest.approx(other.hessian, rel=1e-9, abs=1e-12)


@given(SEEDS, st.integers(1, 8))
def test_the_hessian_is_symmetric_with_a_mean_diagonal_of_1(seed, cols):
    h = products(seed, cols) + np.triu(np.full((cols, cols), 1e-3), 1)
    hessian = InputMoments(h, cols).hessian
    assert (hessian == hessian.T).all()
    assert np.trace(hessian) == pytest.approx(cols)
    assert hessian == pytest.approx((h + h.T) / 2 / np.trace(h) * cols)


def test_unknown_inputs_are_white():
    white = InputMoments(None, 3)
    assert not white.known and not white.full
    assert white.importance.tolist() == [1, 1, 1] and (white.hessian == np.eye(3)).all()


def test_a_diagonal_is_known_but_not_full():
    diagonal = InputMoments(np.array([3, 1]), 2)
    assert diagonal.known and not diagonal.full
    assert diagonal.hessian.tolist() == [[1.5, 0], [0, 0.5]]


def test_inputs_that_are_all_zero_are_white():
    zero = InputMoments(np.zeros((2, 2)), 2)
    assert zero.importance.tolist() == [1, 1] and (zero.hessian == np.eye(2)).all()


def test_an_input_that_was_never_seen_keeps_a_little_importance():
    importance = InputMoments(np.array([0.0, 2.0]), 2).importance
    assert importance.tolist() == [np.float32(1e-6), 2]


@pytest.mark.parametrize(
    ("moments", "message"),
    [
        (np.ones(3), r"moments must be \[2\] or \[2, 2\] for weights of 2 columns, found \[3\]"),
        (np.ones((2, 3)), r"found \[2, 3\]"),
        (np.ones((2, 2), bool), "moments must be real numbers, found bool"),
        (np.ones(2, complex), "moments must be real numbers, found complex128"),
        (np.array([1, np.nan]), "finite second moments, none of"),
        (np.array([1, np.inf]), "finite second moments, none of"),
        (np.array([1, -1e-9]), r"none of E\[x_j\^2\] negative"),
        (np.array([[1, 0], [0, -1]]), r"none of E\[x_j\^2\] negative"),
    ],
)
def test_moments_that_no_inputs_have(moments, message):
    with pytest.raises(InputError, match=message):
        InputMoments(moments, 2)
