"""Bounds and ideal quantisers against published values and against direct optimisation."""

import math

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from amssim.errors import InputError
from amssim.quality.theory.bounds import (
    bound_curves,
    entropy_coded,
    entropy_coded_at,
    lloyd_max,
    shannon_lower_bound,
)
from amssim.quality.theory.density import DENSITIES, density
from amssim.quality.theory.expected_error import expected_mse
from amssim.quality.theory.optimum import best_clip, best_schemes
from amssim.scheme import FP4_25, FP5_33


@pytest.mark.parametrize(("bits", "db"), [(1, 4.40), (2, 9.30), (3, 14.62), (4, 20.22), (5, 26.01)])
def test_lloyd_max_of_the_normal_density(bits, db):
    """Jayant and Noll, Digital Coding of Waveforms, table 4.3."""
    found = lloyd_max(density("normal"), 2**bits)
    assert -10 * math.log10(found.mse) == pytest.approx(db, abs=0.006)


def test_lloyd_max_finds_what_direct_optimisation_finds():
    def mse(log_centres):
        centres = np.cumsum(np.exp(log_centres))
        edges = np.concatenate([[0], (centres[1:] + centres[:-1]) / 2, [np.inf]])
        return density("laplace").below(edges).between().squared_error(centres).sum()

    start, options = np.log([0.2, 0.5, 0.9, 1.5]), {"maxiter": 4000, "xatol": 1e-7, "fatol": 1e-12}
    direct = optimize.minimize(mse, start, method="Nelder-Mead", options=options)
    assert lloyd_max(density("laplace"), 8).mse == pytest.approx(direct.fun, rel=1e-5)


def test_entropy_coding_against_sums_over_cells():
    step, edges = 0.7, (np.arange(-12, 13) + 0.5) * 0.7
    p = np.diff(stats.norm.cdf(edges))
    found = entropy_coded(density("normal"), step)
    assert found.bits == pytest.approx(-(p * np.log2(p)).sum(), rel=1e-6)

    def moment(power, low, high):
        return integrate.quad(lambda w: w**power * stats.norm.pdf(w), low, high)[0]

    kept = sum(moment(1, a, b) ** 2 / moment(0, a, b) for a, b in zip(edges[:-1], edges[1:]))  # noqa: B905, RUF007
    assert found.mse == pytest.approx(1 - kept, rel=1e-5)


@pytest.mark.parametrize("name", DENSITIES)
def test_order_of_the_bounds(name):
    weights = density(name)
    least = shannon_lower_bound(weights, 4)
    coded = entropy_coded_at(weights, 4)
    assert coded.bits == pytest.approx(4)
    assert least < coded.mse < lloyd_max(weights, 16).mse
    # Gish and Pierce: 1.53 dB at high rates, and heavy tails are there late
    assert 10 * math.log10(coded.mse / least) == pytest.approx(1.53, abs=0.1)


def test_the_heaviest_tails_are_coded_to_their_end():
    """The 10^-12 largest weights hold as much of the variance as 6 bits leave in error."""
    found = entropy_coded_at(density("t3"), 6)
    assert found.bits == pytest.approx(6)
    excess = 10 * math.log10(found.mse / shannon_lower_bound(density("t3"), 6))
    assert excess == pytest.approx(1.533, abs=0.002)  # pi e / 6


def test_no_format_beats_the_bounds():
    for name in ("normal", "t5"):
        for s in (FP4_25, FP5_33):
            assert best_clip(density(name), s).mse > shannon_lower_bound(density(name), s.bits)


def test_the_best_clip_is_a_minimum():
    found = best_clip(density("normal"), FP4_25)
    around = [expected_mse(density("normal"), FP4_25, clip=c) for c in np.linspace(1.5, 9, 31)]
    assert found.mse <= min(around)


def test_best_formats_of_a_budget():
    found = best_schemes(density("normal"), 4.25)
    assert found[0].scheme == FP4_25
    assert [f.mse for f in found] == sorted(f.mse for f in found)
    assert all(f.scheme.bits <= 4.25 for f in found)


def test_a_budget_without_formats():
    with pytest.raises(InputError, match="no format has at most 2 bits"):
        best_schemes(density("normal"), 2)


def test_numbers_that_make_no_sense():
    normal = density("normal")
    for bad in (0, -2, math.nan, math.inf):
        with pytest.raises(InputError, match="a budget must be a positive number"):
            best_schemes(normal, bad)
        with pytest.raises(InputError, match="a step must be positive"):
            entropy_coded(normal, bad)
        with pytest.raises(InputError, match=r"from 0\.1 to 10 bits"):
            entropy_coded_at(normal, bad)
    for levels in (0, -2, 3):
        with pytest.raises(InputError, match="levels must be an even number from 2"):
            lloyd_max(normal, levels)
    with pytest.raises(InputError, match="a rate must be a number of bits from 0"):
        shannon_lower_bound(normal, -1)


def test_curves_are_the_bounds_in_decibels():
    found = bound_curves(density("normal"))
    bits, db = found["rate-distortion"][2]
    assert db == pytest.approx(20 * bits * math.log10(2))
    assert all(later[1] - first[1] > 4 for first, later in
               ((points[0], points[-1]) for points in found.values()))  # fmt: skip
