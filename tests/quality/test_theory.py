"""The closed form against Monte-Carlo with the specification, and against plain quadrature."""

import numpy as np
import pytest
from scipy import integrate, stats

from amssim import quantize, reference, scheme
from amssim.errors import InputError, SchemeError
from amssim.minifloat import Minifloat
from amssim.quality.theory.density import density
from amssim.quality.theory.expected_error import expected_mse, expected_mse_absmax
from amssim.quality.theory.lattice import Lattice
from amssim.quality.theory.pieces import pieces
from amssim.rules import SEARCH_RULES

# 1 % in every comparison with samples; the samples' own error is below a third of that: 2^20 or
# more weights whose squared errors have a spread of at most 3 times their mean.
TOLERANCE = 0.01
ROWS, COLUMNS = 1024, 1024


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(11)
    return {n: density(n).sample((ROWS, COLUMNS), rng) for n in ("normal", "laplace", "gennorm:3")}


def restored(x, name, search):
    element = scheme(name).minifloat
    return element.decode(reference.encode(x, scheme(name), search))


@pytest.mark.parametrize("weights", ["normal", "gennorm:3"])
@pytest.mark.parametrize("name", ["fp5.33", "fp4.25", "ams-e3m2-k2"])
def test_fixed_clip_agrees_with_monte_carlo(samples, weights, name):
    clip = 3.6
    s = np.float32(clip / scheme(name).minifloat.max_value)
    x = samples[weights]
    for search in SEARCH_RULES:
        measured = np.mean((x - s * restored(x / s, name, search)) ** 2, dtype=np.float64)
        predicted = expected_mse(density(weights), scheme(name), clip=clip, search=search)
        assert predicted == pytest.approx(measured, rel=TOLERANCE), search


@pytest.mark.parametrize("weights", ["normal", "laplace"])
@pytest.mark.parametrize("name", ["fp5.33", "fp4.25"])
def test_absmax_scales_agree_with_monte_carlo(samples, weights, name):
    x = samples[weights].reshape(-1, 256)  # many rows, so that their maxima average out
    s = np.abs(x).max(axis=1, keepdims=True) / np.float32(scheme(name).minifloat.max_value)
    for search in ("adaptive", "majority", "zero"):
        measured = np.mean((x - s * restored(x / s, name, search)) ** 2, dtype=np.float64)
        predicted = expected_mse_absmax(density(weights), scheme(name), columns=256, search=search)
        assert predicted == pytest.approx(measured, rel=TOLERANCE), search


def test_short_rows_count_the_exact_maximum():
    """With 8 weights to a scale, an eighth of them has no error: leaving that out shows."""
    x = density("normal").sample((1 << 16, 8), np.random.default_rng(1))
    s = np.abs(x).max(axis=1, keepdims=True) / np.float32(7)
    measured = np.mean((x - s * restored(x / s, "fp4.25", "adaptive")) ** 2, dtype=np.float64)
    predicted = expected_mse_absmax(density("normal"), scheme("fp4.25"), columns=8)
    assert predicted == pytest.approx(measured, rel=TOLERANCE)


@pytest.mark.parametrize("search", ["adaptive", "replace", "majority"])
@pytest.mark.parametrize(("name", "columns"), [("fp5.33", 5), ("fp4.25", 2), ("ams-e2m2-k8", 11)])
def test_a_group_that_the_row_leaves_short(name, columns, search):
    """Zeros fill it up, decide with it, and do not count: taking it for whole is 5 to 80 % off."""
    x = density("normal").sample((1 << 17, columns), np.random.default_rng(2))
    error = x - quantize(x, name, search=search).dequantize()
    measured = np.mean(error.astype(np.float64) ** 2)
    predicted = expected_mse_absmax(density("normal"), scheme(name), columns=columns, search=search)
    assert predicted == pytest.approx(measured, rel=TOLERANCE)


def test_a_row_of_one_weight_has_no_error():
    assert expected_mse_absmax(density("normal"), scheme("fp4.25"), columns=1) == 0


@pytest.mark.parametrize("name", ["fp6-e2m3", "fp4-e2m1", "fp6-e3m2"])
def test_without_sharing_it_is_the_integral_of_rounding(name):
    s = 3.0 / scheme(name).minifloat.max_value
    values = scheme(name).minifloat.values[: scheme(name).minifloat.magnitudes].astype(float)
    edges = np.concatenate([[0], (values[1:] + values[:-1]) / 2 * s, [12]])
    parts = zip(edges[:-1], edges[1:], values, strict=True)
    exact = sum(
        integrate.quad(lambda a, v=v: (a - v * s) ** 2 * 2 * stats.norm.pdf(a), low, high)[0]
        for low, high, v in parts
    )
    for search in ("adaptive", "majority"):
        found = expected_mse(density("normal"), scheme(name), clip=3.0, search=search)
        assert found == pytest.approx(exact, rel=2e-4)


def test_error_grows_with_k_up_to_one_fixed_bit():
    errors = [
        expected_mse(density("normal"), scheme(f"ams-e2m2-k{k}"), clip=3.0) for k in range(1, 12)
    ]
    assert errors == sorted(errors)
    assert errors[-1] < expected_mse(density("normal"), scheme("fp4.25"), clip=3.0, search="zero")


def test_numbers_that_are_none():
    for clip in (0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="a clip must be a positive number"):
            expected_mse(density("normal"), scheme("fp4.25"), clip=clip)
    for columns in (0, 2.5):
        with pytest.raises(InputError, match="columns must be a positive whole number"):
            expected_mse_absmax(density("normal"), scheme("fp4.25"), columns=columns)


def test_unknown_rule():
    with pytest.raises(SchemeError, match="unknown search rule 'best'"):
        expected_mse(density("normal"), scheme("fp4.25"), clip=3.0, search="best")


@pytest.mark.parametrize("search", ["adaptive", "replace"])
@pytest.mark.parametrize("widths", [(2, 3), (2, 2), (3, 2), (1, 2), (4, 1)])
def test_pieces_hold_what_the_specification_rounds_to(widths, search):
    element = Minifloat(*widths)
    cut = pieces(element, search)
    a = np.random.default_rng(2).uniform(0, 1.2 * element.max_value, 4000).astype(np.float32)
    i = np.searchsorted(cut.edges, a) - 1
    code0, code1 = reference.candidates(a, element, search)
    assert (cut.v0[i] == element.decode(code0)).all()
    assert (cut.v1[i] == element.decode(code1)).all()
    excess = reference.excess_of_one(a, code0, code1, element)
    np.testing.assert_allclose(cut.offset[i] + cut.slope[i] * a, excess, rtol=1e-4, atol=1e-4)
    assert (cut.odd[i] == reference.nearest(a, element) % 2).all()


def test_the_lattice_keeps_mass_and_mean():
    cut, s = pieces(Minifloat(2, 2), "adaptive"), 0.4

    def below(points):
        mass, first, second = density("laplace").below(points * s)
        return type(density("laplace").below(1.0))(mass, first / s, second / s**2)

    lattice = Lattice(below, cut, 4)
    parts = below(cut.edges).between()
    mean = (cut.offset * parts.mass + cut.slope * parts.first).sum()
    values = (np.arange(len(lattice.masses)) - lattice.low) * lattice.size
    assert lattice.masses.sum() == pytest.approx(1, abs=1e-9)
    assert lattice.masses @ values + lattice.beyond == pytest.approx(mean, rel=1e-7)
    assert lattice.masses.min() > -1e-12
