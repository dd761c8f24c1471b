"""Formats that search or fit: against brute force, numpy's solvers and their own starting point."""

from itertools import combinations, product

import numpy as np
import pytest

from amssim import formats
from amssim.formats.ams.sub_tables import sub_tables
from amssim.formats.rivals.db_llm import DbLlm
from amssim.formats.rivals.fineq import FINEQ_FACTORS, FineQ
from amssim.formats.rivals.integer import Integer, affine_grid
from amssim.formats.rivals.normal_float import LearnedNormalFloat, normal_table
from amssim.formats.rivals.omniquant import CLIPS, OmniQuant
from amssim.formats.rivals.signround import SignRound
from amssim.formats.rivals.slim_llm import SlimLlm
from amssim.formats.rivals.solo import Solo
from amssim.formats.rivals.squeezellm import SqueezeLlm
from amssim.formats.rounding.feedback import inverse_factor, round_with_feedback
from amssim.formats.rounding.kmeans import nearest_centroids, row_centroids
from amssim.formats.rounding.table import Table
from amssim.minifloat import Minifloat
from amssim.scheme import Scheme, scheme


def weights(shape, seed=0):
    return np.random.default_rng(seed).standard_t(4, shape).astype(np.float32)


def importance(cols, seed=1):
    return np.exp(np.random.default_rng(seed).standard_normal(cols)).astype(np.float32)


def correlated(cols, seed=2):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3 * cols, cols)) @ (np.eye(cols) + rng.standard_normal((cols, cols)))
    h = x.T @ x
    return h / np.trace(h) * cols


def output_error(w, restored, h):
    e = w.astype(np.float64) - restored
    return np.einsum("ij,jk,ik->", e, h, e)


def test_kmeans_is_the_best_of_all_partitions():
    rng = np.random.default_rng(0)
    for count in (2, 3, 4):
        w = rng.standard_normal((1, 9)).astype(np.float32)
        h = rng.exponential(size=(1, 9)).astype(np.float32)
        order = np.argsort(w[0])
        x, p = w[0, order].astype(np.float64), h[0, order].astype(np.float64)

        def error(cuts, x=x, p=p):
            parts = zip((0, *cuts), (*cuts, 9), strict=True)
            groups = [(x[a:b], p[a:b]) for a, b in parts]
            return sum((q * (v - np.average(v, weights=q)) ** 2).sum() for v, q in groups)

        best = min(error(cuts) for cuts in combinations(range(1, 9), count - 1))
        c = row_centroids(w, h, count)
        found = (h * (w - c[0, nearest_centroids(w, c)]) ** 2).sum()
        assert found == pytest.approx(best, rel=1e-6)


def test_kmeans_of_few_or_equal_values():
    few = np.float32([[3, 1, 3]])
    c = row_centroids(few, np.ones_like(few), 8)
    assert np.array_equal(c[:, nearest_centroids(few, c)[0]], few)
    same = np.full((2, 20), -0.25, np.float32)
    assert (row_centroids(same, np.ones_like(same), 4) == -0.25).all()


def test_squeezellm_keeps_the_largest_apart():
    w, form = weights((8, 100), 3), SqueezeLlm(bits=3, outliers=0.01)
    restored = form.quantize(w).dequantize()
    largest = np.argsort(-np.abs(w), axis=None)[:8]
    assert np.array_equal(restored.ravel()[largest], w.ravel()[largest].astype(np.float16))
    dense = SqueezeLlm(bits=3).quantize(w).dequantize()
    kept = np.delete(np.arange(w.size), largest)  # whose tables no outlier pulls away
    error, without = (((w - r).ravel()[kept] ** 2).sum() for r in (restored, dense))
    assert error < 0.9 * without


def test_learned_scales_are_least_squares_and_no_worse():
    w, h, form = weights((4, 128)), importance(128), LearnedNormalFloat(bits=3, scale_block=32)
    start = formats.find_format("nf4", bits=3, scale_block=32).quantize(w, h).dequantize()
    found = form.quantize(w, h)
    square = h * (w - found.dequantize()) ** 2
    assert square.sum() < 0.97 * (h * (w - start) ** 2).sum()
    values = normal_table(3).values_of(found.parts["codes"]).reshape(4, 4, 32)
    blocks, p = w.reshape(4, 4, 32), h.reshape(4, 32)
    fit = (p * blocks * values).sum(axis=2) / (p * values**2).sum(axis=2)
    assert found.parts["scales"].astype(float) == pytest.approx(fit, rel=2e-3)


def test_zero_points_are_the_nearest_whole_number():
    scales, zeros = affine_grid(np.float32([[-1.75, -0.25]]), np.float32([[5.25, 6.75]]), 3)
    assert scales.tolist() == [[1, 1]] and zeros.tolist() == [[2, 0]]


def test_omniquant_by_brute_force():
    w, h, form = weights((2, 16), 4), importance(16), OmniQuant(bits=3, scale_block=16)
    restored = form.quantize(w, h).dequantize()
    for row, found in zip(w.astype(np.float64), restored, strict=True):
        errors = []
        for a, b in product(CLIPS, CLIPS):
            low, high = np.float32(a) * min(row.min(), 0), np.float32(b) * max(row.max(), 0)
            scale = float(np.float16((np.float32(high) - np.float32(low)) / np.float32(7)))
            zero = np.clip(np.rint(-low / scale), 0, 7)
            q = np.clip(np.rint(row / scale) + zero, 0, 7) - zero
            errors.append((h / h.mean() * (row - q * scale) ** 2).sum())
        assert (h / h.mean() * (row - found) ** 2).sum() == pytest.approx(min(errors), rel=1e-3)


def test_signround_lowers_the_output_error():
    w, h = weights((6, 64), 5), correlated(64)
    searched = SignRound(bits=3, scale_block=32).quantize(w, np.diag(h)).dequantize()
    plain = Integer(bits=3, scale_block=32).quantize(w).dequantize()
    tuned = SignRound(bits=3, scale_block=32).quantize(w, h)
    error = output_error(w, tuned.dequantize(), h)
    assert error < 0.9 * output_error(w, searched, h)
    d = np.diag(h)
    assert (d * (w - searched) ** 2).sum() <= (d * (w - plain) ** 2).sum()
    steps = w / np.repeat(tuned.parts["scales"].astype(np.float32), 32, axis=1)
    levels = tuned.parts["codes"].astype(float) - 4
    inside = (steps > -4) & (steps < 3)
    assert np.abs(levels - steps)[inside].max() <= 1 + 1e-6  # only up or down


def test_slim_llm_promotes_as_many_groups_as_are_best():
    w = weights((4, 256), 6) * np.repeat([1, 8, 0.1, 1], 64).astype(np.float32)
    form = SlimLlm(bits=3, scale_block=64)
    found = form.quantize(w)
    assert found.parts["widths"].tolist() == [3, 4, 2, 3]
    assert (found.parts["codes"].max(axis=0).reshape(4, 64).max(axis=1) < [8, 16, 4, 8]).all()


def test_db_llm_starts_at_the_published_levels():
    levels = np.sort(DbLlm(planes=2)._levels(np.float32([[[2, -1]]])).ravel())
    assert levels.tolist() == [-1, 0, 1, 2]
    w = np.float32([[-2, 0, 2, 4]])
    assert np.array_equal(DbLlm(planes=2, scale_block=4).quantize(w).dequantize(), w)


def test_db_llm_factors_are_least_squares():
    w, h, form = weights((3, 64), 8), importance(64), DbLlm(planes=3, scale_block=64)
    codes = np.random.default_rng(0).integers(0, 8, w.shape).astype(np.uint8)
    fitted = form._fit(w, h, codes)
    for row in range(3):
        planes = (codes[row][:, None] >> np.arange(3) & 1) * np.sqrt(h)[:, None]
        expected = np.linalg.lstsq(planes, w[row] * np.sqrt(h), rcond=None)[0]
        assert fitted[row, 0] == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_fineq_states_by_brute_force():
    w = weights((1, 12), 9)
    restored = FineQ(bits=2).quantize(w).dequantize()
    best = np.inf
    for factor in FINEQ_FACTORS:
        s = float(np.float16(np.abs(w).max() * np.float32(factor)))
        total = 0.0
        for pair in w.reshape(2, 6).astype(np.float64):
            errors = []
            for state in range(4):
                limit = np.full(3, 1 if state == 0 else 3)
                limit[state - 1 :: 3] *= state == 0
                q = np.clip(np.rint(pair / s), -np.tile(limit, 2), np.tile(limit, 2))
                errors.append(((pair - q * s) ** 2).sum())
            total += min(errors)
        best = min(best, total)
    assert ((w - restored) ** 2).sum() == pytest.approx(best, rel=1e-4)


def test_solo_takes_the_nearest_power():
    w, form = weights((2, 64), 10), Solo(bits=4, scale_block=32)
    found = form.quantize(w)
    scales, bases = (
        np.repeat(found.parts[n].astype(float), 32, axis=1) for n in ("scales", "bases")
    )
    powers = scales[..., None] * bases[..., None] ** np.arange(8)
    distance = np.abs(np.log(powers) - np.log(np.abs(w))[..., None])
    nearest = np.take_along_axis(powers, distance.argmin(axis=2)[..., None], axis=2)[..., 0]
    assert found.dequantize() == pytest.approx(np.sign(w) * nearest, rel=1e-5)
    low = np.quantile(np.abs(w[0, :32]), 0.1)
    assert powers[0, 0, -1] == pytest.approx(low, rel=0.01)


def test_inverse_factor_is_that_of_the_inverse():
    h = correlated(20)
    u = inverse_factor(h, damping=0.01)
    assert np.array_equal(u, np.triu(u))
    assert u.T @ u == pytest.approx(np.linalg.inv(h + 0.01 * np.eye(20)), rel=1e-8, abs=1e-10)


def gptq_by_hand(w, scale, h, table):
    """Column by column with the inverse of what is left, as in the optimal brain surgeon."""
    w, left = w.astype(np.float64), list(range(len(w)))
    h = h + 0.01 * np.eye(len(h))
    restored = np.empty_like(w)
    for j in range(len(w)):
        inverse = np.linalg.inv(h[np.ix_(left, left)])
        restored[j] = scale * table[np.abs(w[j] / scale - table).argmin()]
        w[left] -= (w[j] - restored[j]) * inverse[0] / inverse[0, 0]
        left = left[1:]
    return restored


def test_feedback_is_that_of_explicit_inverses():
    w, h = weights((3, 130), 11), correlated(130)
    table = Table(tuple(np.arange(-8.0, 8.0)))
    scales = np.full(w.shape, np.float32(0.3))
    codes, _ = round_with_feedback(w, scales, h, [table], 1)
    for row, found in zip(w, table.values_of(codes) * scales, strict=True):
        expected = gptq_by_hand(row, np.float64(np.float32(0.3)), h, table.array)
        assert found == pytest.approx(expected, rel=1e-6)


def test_a_group_takes_the_bit_that_costs_least():
    form = scheme("fp4.25")
    w, h = weights((8, 4), 12), correlated(4)
    tables = [table for table, _ in sub_tables(form)]
    codes, chosen = round_with_feedback(w, np.full(w.shape, 0.5), h, tables, 4)
    for row, code, bit in zip(w, codes, chosen[:, 0], strict=True):
        hands = [gptq_by_hand(row, 0.5, h, table.array) for table in tables]
        damped = h + 0.01 * np.eye(4)
        errors = [(row - r) @ damped @ (row - r) for r in hands]
        assert bit == np.argmin(errors)
        assert tables[bit].values_of(code) * 0.5 == pytest.approx(hands[bit])


@pytest.mark.parametrize("name", ["gptq-fp5.33", "gptq-fp4.25", "gptq-int4"])
def test_feedback_lowers_the_output_error(name):
    w, h = weights((16, 96), 13), correlated(96)
    plain = formats.find_format(name).quantize(w).dequantize()
    fed = formats.find_format(name).quantize(w, h).dequantize()
    assert output_error(w, fed, h) < 0.8 * output_error(w, plain, h)


@pytest.mark.parametrize("k", [1, 3])
def test_sub_tables_hold_every_value_once(k):
    pairs = sub_tables(Scheme(Minifloat(2, 2), k))
    values = np.concatenate([table.array for table, _ in pairs])
    assert sorted(values) == sorted(np.unique(Minifloat(2, 2).values))
    for table, codes in pairs:
        assert np.array_equal(Minifloat(2, 2).values[codes], table.array)
        assert not (codes == Minifloat(2, 2).sign_bit).any()


def test_gptq_without_products_is_the_format_itself():
    w = weights((4, 60), 14)
    for name, plain in (("gptq-fp5.33", "fp5.33"), ("gptq-int4", "int4")):
        assert np.array_equal(
            formats.find_format(name).quantize(w).dequantize(),
            formats.find_format(plain).quantize(w).dequantize(),
        )
