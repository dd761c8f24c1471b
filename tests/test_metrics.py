import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim import InputError, Metrics, testing


def by_numpy(w, r):
    w, r = w.astype(np.float64), r.astype(np.float64)
    e = w - r
    return {
        "mse": np.mean(e**2),
        "sqnr_db": 10 * math.log10(np.sum(w**2) / np.sum(e**2)),
        "relative_frobenius": np.linalg.norm(e) / np.linalg.norm(w),
        "cosine": np.sum(w * r) / np.linalg.norm(w) / np.linalg.norm(r),
        "max_error": np.abs(e).max(),
        "p99_error": np.quantile(np.abs(e), 0.99, method="inverted_cdf"),
    }


def pair(shape=(70, 333), seed=0, noise=0.02):
    rng = np.random.default_rng(seed)
    w = rng.standard_t(3, shape).astype(np.float32)
    return w, (w + noise * rng.standard_normal(shape)).astype(np.float32)


def test_every_figure_against_numpy():
    w, r = pair()
    found = Metrics.of(w, r)
    for name, value in by_numpy(w, r).items():
        rel = 0.0021 if name == "p99_error" else 1e-6
        assert getattr(found, name) == pytest.approx(value, rel=rel), name
    assert found.count == w.size


@given(st.data())
def test_p99_is_an_upper_bound_within_its_stated_width(data):
    w = data.draw(testing.weights(extremes=False))
    r = data.draw(testing.weights(shape=w.shape, extremes=False))
    error = np.abs(w.astype(np.float64) - r)
    exact = np.quantile(error, 0.99, method="inverted_cdf").astype(np.float32)
    found = Metrics.of(w, r).p99_error
    assert exact <= found <= exact * 1.0021 + 1e-40


def test_sums_do_not_depend_on_threads_or_on_strides():
    w, r = pair((301, 97))
    one = Metrics.of(w, r, threads=1)
    assert one == Metrics.of(w, r, threads=2) == Metrics.of(np.asfortranarray(w), r, threads=7)


def test_tensors_combine_in_name_order_to_the_figures_of_both():
    (w1, r1), (w2, r2) = pair((20, 64), 1), pair((30, 64), 2, noise=0.5)
    total = Metrics.total({"b": Metrics.of(w1, r1), "a": Metrics.of(w2, r2)})
    both = by_numpy(np.concatenate([w1, w2]), np.concatenate([r1, r2]))
    assert total.sqnr_db == pytest.approx(both["sqnr_db"], rel=1e-9)
    assert total.p99_error == pytest.approx(both["p99_error"], rel=0.0021)
    swapped = Metrics.total({"a": Metrics.of(w2, r2), "b": Metrics.of(w1, r1)})
    assert total == swapped and np.array_equal(total.error_histogram, swapped.error_histogram)


def test_no_error_and_no_weights():
    w = np.ones((2, 3), np.float32)
    exact = Metrics.of(w, w)
    assert (exact.sqnr_db, exact.relative_frobenius, exact.p99_error) == (math.inf, 0, 0)
    assert exact.as_dict()["sqnr_db"] is None
    zero = Metrics.of(0 * w, w)
    assert (zero.sqnr_db, zero.relative_frobenius, zero.cosine) == (-math.inf, math.inf, 0)
    assert Metrics().mse == Metrics().p99_error == 0
    assert Metrics.of(0 * w, 0 * w).cosine == 1


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_float_types(dtype):
    w, r = pair((5, 40))
    expected = Metrics.of(w.astype(dtype).astype(np.float32), r)
    assert Metrics.of(w.astype(dtype), r) == expected


@pytest.mark.parametrize("shapes", [((2, 3), (3, 2)), ((6,), (6,)), ((0, 3), (0, 3))])
def test_shapes_that_cannot_be_compared(shapes):
    with pytest.raises(InputError, match="two matrices of one shape, found"):
        Metrics.of(np.zeros(shapes[0]), np.zeros(shapes[1]))
