import json
import math
from fractions import Fraction

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


@given(st.data())
def test_sums_are_exact_for_small_whole_numbers(data):
    """Whole numbers below 2^20 leave no rounding in float64, so fractions must agree."""
    rows, columns = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 9))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    w, r = rng.integers(-1000, 1001, (2, rows, columns)).astype(np.float32)
    found = Metrics.of(w, r, threads=data.draw(st.integers(1, 4)))
    pairs = [(int(a), int(b)) for a, b in zip(w.flat, r.flat, strict=True)]
    assert found.weight_squares == sum(a * a for a, _ in pairs)
    assert found.restored_squares == sum(b * b for _, b in pairs)
    assert found.products == sum(a * b for a, b in pairs)
    assert found.error_squares == sum((a - b) ** 2 for a, b in pairs)
    assert found.max_error == max(abs(a - b) for a, b in pairs)
    assert Fraction(found.mse) == pytest.approx(Fraction(found.error_squares) / len(pairs))
    assert found.error_histogram.sum() == found.count == len(pairs)


@given(st.data())
def test_metrics_add_up_in_any_grouping(data):
    parts = []
    for seed in range(data.draw(st.integers(2, 4))):
        shape = data.draw(testing.shapes(max_rows=3, max_columns=9))
        rng = np.random.default_rng(seed)
        w, r = rng.integers(-50, 51, (2, *shape)).astype(np.float32)
        parts.append(Metrics.of(w, r))
    left = sum(parts, Metrics())
    right = parts[0] + sum(parts[1:], Metrics())
    assert left == right and np.array_equal(left.error_histogram, right.error_histogram)
    assert left.count == sum(p.count for p in parts)
    assert left.max_error == max(p.max_error for p in parts)
    assert left == Metrics() + left == left + Metrics()


def test_a_scaled_matrix_is_parallel_and_an_opposite_one_opposite():
    w = pair()[0]
    assert Metrics.of(w, 2 * w).cosine == pytest.approx(1)
    assert Metrics.of(w, -w).cosine == pytest.approx(-1)
    assert Metrics.of(w, -w).relative_frobenius == pytest.approx(2)
    assert Metrics.of(w, w / 2).sqnr_db == pytest.approx(20 * math.log10(2))


def test_the_figures_as_a_dictionary_are_plain_and_finite():
    figures = Metrics.of(*pair()).as_dict()
    assert list(figures) == [
        "count",
        "mse",
        "sqnr_db",
        "relative_frobenius",
        "cosine",
        "max_error",
        "p99_error",
    ]
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    zero = np.zeros((1, 2), np.float32)
    assert Metrics.of(zero, zero + 1).as_dict()["relative_frobenius"] is None


def test_metrics_cannot_be_changed():
    with pytest.raises(AttributeError):
        Metrics().count = 1
