"""Partial moments against scipy's adaptive quadrature, samples against moments."""

import numpy as np
import pytest
from scipy import integrate, stats

from amssim.errors import InputError
from amssim.quality.theory.density import DENSITIES, density

FROZEN = {
    "normal": stats.norm(),
    "laplace": stats.laplace(scale=2**-0.5),
    "t5": stats.t(5, scale=(3 / 5) ** 0.5),
    "gennorm:0.7": stats.gennorm(0.7, scale=1 / stats.gennorm(0.7).std()),
}


@pytest.mark.parametrize("name", DENSITIES)
@pytest.mark.parametrize("power", [0, 1, 2])
def test_partial_moments(name, power):
    points = np.array([0.0, 1e-3, 0.3, 1.0, 4.0, 11.0])
    found = density(name).below(points)[power]
    for point, moment in zip(points, found, strict=True):
        exact, _ = integrate.quad(
            lambda a: a**power * 2 * FROZEN[name].pdf(a), 0, point, limit=200, epsabs=1e-12
        )
        assert moment == pytest.approx(exact, rel=1e-7, abs=1e-10)


@pytest.mark.parametrize("name", DENSITIES)
def test_variance_is_1(name):
    mass, _, second = density(name).below(np.inf)
    assert mass == pytest.approx(1, abs=1e-9)
    assert second == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", DENSITIES)
def test_samples_follow_the_density(name):
    found = density(name).sample(20_000, np.random.default_rng(3))
    assert found.dtype == np.float32
    assert stats.kstest(found.astype(float), FROZEN[name].cdf).pvalue > 0.01


def test_squared_error_of_intervals():
    cells = density("normal").below(np.array([0.5, 1.5])).between()
    exact, _ = integrate.quad(lambda a: (a - 0.9) ** 2 * 2 * stats.norm.pdf(a), 0.5, 1.5)
    assert cells.squared_error(0.9)[0] == pytest.approx(exact, rel=1e-8)


@pytest.mark.parametrize("name", ["cauchy", "t", "normal:2", "gennorm", ""])
def test_unknown_names(name):
    with pytest.raises(InputError, match=f"unknown density '{name}': choose normal"):
        density(name)


@pytest.mark.parametrize("name", ["t2", "t2.9", "t0", "gennorm:0.1", "gennorm:0"])
def test_densities_without_a_usable_variance(name):
    with pytest.raises(InputError, match="neither sums nor samples find its variance: expected"):
        density(name)
