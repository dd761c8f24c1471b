"""Sweeps that are made from a law give back its constants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim.bench.calibration.curves import latency_s, residency
from amssim.bench.calibration.launch_cost import one_more_s


def saturated(peak: float, latency: float, in_flight: float) -> float:
    """Bytes per second with so many in flight: a smooth minimum of peak and in_flight / latency."""
    return peak / (1 + (peak * latency / in_flight) ** 2) ** 0.5


@given(st.floats(1e11, 1e13), st.floats(1e-7, 2e-6))
def test_a_latency_explains_bandwidths_below_the_peak(peak, latency):
    bytes_in_flight = {n: n * 2e5 for n in (1, 2, 4, 8)}
    rates = {n: saturated(peak, latency, bytes_in_flight[n]) for n in bytes_in_flight}
    if rates[1] < 0.99 * peak:
        assert latency_s(rates, bytes_in_flight, peak) == pytest.approx(latency, rel=0.01)


def test_a_peak_that_is_always_reached_gives_a_small_latency():
    assert 0 < latency_s({1: 4e12, 2: 4e12}, {1: 1e6, 2: 2e6}, 4e12) < 1e-8


@given(st.floats(2e7, 2e8), st.floats(1, 12), st.floats(1.5, 5))
def test_a_sweep_of_working_sets_gives_size_and_sharpness(held, sharpness, ratio):
    dram = 4e12
    cache = ratio * dram
    sizes = [held * factor for factor in (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)]
    hits = {size: 1 / (1 + (size / held) ** sharpness) for size in sizes}
    rates = {size: 1 / (h / cache + (1 - h) / dram) for size, h in hits.items()}
    size, slope, doubt = residency(rates, dram, cache, 10**9)
    assert (size, slope) == pytest.approx((held, sharpness), rel=1e-3) and doubt == ""


def test_residency_needs_working_sets_that_are_partly_in_the_cache():
    rates = {10_000_000: 9e12, 500_000_000: 4.01e12}
    size, sharpness, doubt = residency(rates, 4e12, 9e12, 50_000_000)
    assert (size, sharpness) == (50_000_000, 4.0) and "partly resident" in doubt


@given(st.floats(1e-7, 1e-4), st.floats(0, 1e-3))
def test_one_more_launch_costs_the_slope_and_not_the_start(each_s, start_s):
    times = {n: start_s + n * each_s for n in (100, 500)}
    assert one_more_s(times) == pytest.approx(each_s, rel=1e-6, abs=1e-12)
