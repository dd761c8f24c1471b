"""Partial moments, errors and noise where a formula is known, in numbers that are not ours."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from amssim.errors import InputError
from amssim.minifloat import Minifloat
from amssim.quality.output_noise import OutputNoise
from amssim.quality.theory.bounds import entropy_coded, lloyd_max, shannon_lower_bound
from amssim.quality.theory.density import PartialMoments, density
from amssim.quality.theory.expected_error import expected_mse, expected_mse_absmax
from amssim.quality.theory.optimum import best_clip, best_schemes
from amssim.quality.theory.pieces import pieces
from amssim.quality.theory.tails import shape_of
from amssim.scheme import Scheme, scheme

POINTS = st.floats(0, 12)


@given(POINTS)
def test_partial_moments_of_the_normal_density(a):
    """Integrals of 2 phi, 2 a phi and 2 a^2 phi from 0 to a, by the error function."""
    mass, first, second = density("normal").below(a)
    phi = math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
    assert mass == pytest.approx(math.erf(a / math.sqrt(2)), abs=1e-9)
    assert first == pytest.approx(2 * (1 / math.sqrt(2 * math.pi) - phi), abs=1e-9)
    assert second == pytest.approx(math.erf(a / math.sqrt(2)) - 2 * a * phi, abs=1e-9)


@given(POINTS)
def test_partial_moments_of_the_laplace_density(a):
    """The density of a = |w| is r e^(-r a) with r = sqrt 2."""
    r = math.sqrt(2)
    left = math.exp(-r * a)
    mass, first, second = density("laplace").below(a)
    assert mass == pytest.approx(1 - left, abs=1e-9)
    assert first == pytest.approx(1 / r - left * (a + 1 / r), abs=1e-9)
    assert second == pytest.approx(2 / r**2 - left * (a * a + 2 * a / r + 2 / r**2), abs=1e-9)


@given(st.lists(POINTS, min_size=2, max_size=6))
def test_intervals_add_up_to_the_whole(points):
    edges = np.array([0.0, *sorted(points)])
    parts = density("t5").below(edges).between()
    whole = density("t5").below(edges[-1])
    for part, total in zip(parts, whole, strict=True):
        assert part.sum() == pytest.approx(float(total), abs=1e-12)
        assert (part >= -1e-12).all()


@given(st.floats(-3, 3))
def test_squared_error_about_any_value(v):
    """E (a - v)^2 = E a^2 - 2 v E a + v^2; for |w| of a normal w, E a = sqrt(2 / pi)."""
    everything = density("normal").below(np.inf)
    expected = 1 - 2 * v * math.sqrt(2 / math.pi) + v * v
    assert everything.squared_error(v) == pytest.approx(expected, abs=1e-7)


def test_squared_error_of_fractions():
    cells = PartialMoments(np.array([0.5]), np.array([0.25]), np.array([0.5]))
    assert cells.squared_error(2.0)[0] == 0.5 - 2 * 2 * 0.25 + 4 * 0.5


@pytest.mark.parametrize(
    ("name", "nats"),
    [
        ("normal", math.log(2 * math.pi * math.e) / 2),
        ("laplace", 1 + math.log(math.sqrt(2))),
        ("gennorm:2", math.log(2 * math.pi * math.e) / 2),
    ],
)
def test_entropy_of_densities(name, nats):
    assert density(name).entropy_nats == pytest.approx(nats, abs=1e-9)


@given(st.sampled_from(["normal", "laplace", "t5"]), st.floats(0.01, 0.99))
def test_quantiles_are_where_the_mass_is(name, mass):
    assert density(name).below(density(name).quantile(mass)).mass == pytest.approx(mass, abs=1e-8)


def test_bounds_of_the_normal_density():
    assert shannon_lower_bound(density("normal"), 0) == 1.0
    assert shannon_lower_bound(density("normal"), 2) == pytest.approx(2.0**-4)
    assert lloyd_max(density("normal"), 2).mse == pytest.approx(1 - 2 / math.pi, abs=1e-6)
    # two levels at +-1 / sqrt 2 for the Laplace density: its half line is memoryless
    assert lloyd_max(density("laplace"), 2).mse == pytest.approx(0.5, abs=1e-6)


def test_a_step_beyond_all_weights_keeps_nothing():
    point = entropy_coded(density("normal"), 100.0)
    assert point.bits == pytest.approx(0, abs=1e-9) and point.mse == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("widths", [(2, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("clip", [1.5, 3.0])
def test_plain_minifloats_err_as_a_sum_over_their_cells(widths, clip):
    """k = 1: each value has the cell between its midpoints; scipy integrates the density there."""
    element = Minifloat(*widths)
    values = np.unique(np.abs(element.values)).astype(float) * clip / element.max_value
    edges = [0.0, *((values[1:] + values[:-1]) / 2), np.inf]
    error = 0.0
    for value, low, high in zip(values, edges[:-1], edges[1:], strict=True):
        cut = stats.truncnorm(low, high)
        mass = 2 * (stats.norm.sf(low) - stats.norm.sf(high))
        error += mass * (cut.var() + (cut.mean() - value) ** 2)
    found = expected_mse(density("normal"), Scheme(element, 1), clip=clip)
    assert found == pytest.approx(error, rel=1e-5)


def test_one_column_per_scale_is_exact():
    for name in ("fp4.25", "fp5.33", "ams-e3m2-k1"):
        assert expected_mse_absmax(density("normal"), scheme(name), columns=1) == 0


@settings(max_examples=15, deadline=None)
@given(st.floats(1.0, 8.0))
def test_no_clip_is_better_than_the_best(clip):
    best = best_clip(density("normal"), scheme("fp4.25"))
    found = expected_mse(density("normal"), scheme("fp4.25"), clip=clip)
    assert best.mse <= found * (1 + 1e-6)
    assert best.sqnr_db == pytest.approx(-10 * math.log10(best.mse))


def test_the_best_schemes_keep_the_budget():
    ranked = best_schemes(density("normal"), Fraction(17, 4))
    assert all(Fraction(13, 4) < o.scheme.bits <= Fraction(17, 4) for o in ranked)
    assert len({o.scheme.minifloat for o in ranked}) == len(ranked)


@pytest.mark.parametrize("widths", [(2, 1), (2, 2), (1, 3), (3, 1)])
@given(seed=st.integers(0, 2**32 - 1))
def test_pieces_give_the_nearest_value_of_each_parity(widths, seed):
    element = Minifloat(*widths)
    found = pieces(element, "adaptive")
    grid = element.values[: element.magnitudes].astype(float)
    a = float(np.random.default_rng(seed).uniform(0, grid[-1] * 1.2))
    i = int(np.searchsorted(found.edges, a, side="right")) - 1
    assert abs(a - found.v0[i]) == pytest.approx(np.abs(a - grid[::2]).min(), abs=1e-12)
    assert abs(a - found.v1[i]) == pytest.approx(np.abs(a - grid[1::2]).min(), abs=1e-12)
    d = (a - found.v1[i]) ** 2 - (a - found.v0[i]) ** 2
    assert found.offset[i] + found.slope[i] * a == pytest.approx(d, abs=1e-9)
    assert d <= found.largest_excess + 1e-9


@given(st.floats(0.1, 50))
def test_the_shape_of_weights_does_not_depend_on_their_size(size):
    rows = np.random.default_rng(0).laplace(size=(8, 512))
    assert shape_of(rows * size) == pytest.approx(shape_of(rows), rel=1e-9)


SMALL = st.integers(-4, 4)


@given(st.data())
def test_output_noise_is_that_of_the_products(data):
    """In whole numbers: tr((W - R) G (W - R)^T) = sum over samples of |(W - R) x|^2 / n."""
    rows, cols, samples = (data.draw(st.integers(1, 4)) for _ in range(3))

    def matrix(height, width):
        numbers = st.lists(SMALL, min_size=height * width, max_size=height * width)
        return np.array(data.draw(numbers)).reshape(height, width)

    w, r, x = matrix(rows, cols), matrix(rows, cols), matrix(samples, cols)
    moments = (x.T @ x).astype(np.float32)
    noise = OutputNoise.of(w.astype(np.float32), r.astype(np.float32), moments)
    assert noise.signal == ((x @ w.T) ** 2).sum()
    assert noise.noise == ((x @ (w - r).T) ** 2).sum()


def test_output_noise_adds_up_over_layers():
    one, other = OutputNoise(4.0, 1.0), OutputNoise(6.0, 0.0)
    assert one + other == OutputNoise(10.0, 1.0)
    assert (one + other).sqnr_db == pytest.approx(10.0)
    assert other.sqnr_db == math.inf and OutputNoise(0.0, 1.0).sqnr_db == -math.inf
    assert OutputNoise().as_dict() == {}
    assert other.as_dict() == {"output_sqnr_db": None}
    assert one.as_dict() == {"output_sqnr_db": pytest.approx(6.0206, abs=1e-4)}


@pytest.mark.parametrize("clip", [0, -1.0, math.inf, math.nan])
def test_clips_that_are_no_clips(clip):
    with pytest.raises(InputError, match="a clip must be a positive number of standard deviations"):
        expected_mse(density("normal"), scheme("fp4.25"), clip=clip)
