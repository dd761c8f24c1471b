"""The timer on a clock that only counts: what is run, how often, and which run is reported."""

import dataclasses
from itertools import count, cycle, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim.bench import timing
from amssim.bench.timing import Timer, copies_for_cold, cpu_s, over_each, wall_s

SECONDS = st.lists(st.floats(1e-9, 10), min_size=1, max_size=40)


class FakeClock:
    """Says that a run took the next of ``times``; the last is said for ever."""

    def __init__(self, times):
        self.times, self.runs = list(times), 0

    def __call__(self, call) -> float:
        call()
        self.runs += 1
        return self.times[min(self.runs, len(self.times)) - 1]


@pytest.fixture
def host_clock(monkeypatch):
    """`time.perf_counter` that moves by a tenth of a second at every reading."""
    readings = count()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(readings) / 10)


@given(SECONDS)
def test_the_first_run_warms_up_and_the_shortest_of_the_others_is_the_time(times):
    clock = FakeClock([1e-12, *times])  # the run that is not counted is the shortest
    assert Timer(clock, repeats=len(times), budget_s=0).least_s(lambda: None) == min(times)
    assert clock.runs == 1 + len(times)


@given(SECONDS)
def test_half_of_the_runs_are_not_longer_than_the_median(times):
    clock = FakeClock([100.0, *times])
    median = Timer(clock, repeats=len(times), budget_s=0).median_s(lambda: None)
    assert 2 * sum(t <= median * (1 + 1e-9) for t in times) >= len(times)
    assert 2 * sum(t >= median * (1 - 1e-9) for t in times) >= len(times)


@given(st.floats(1e-3, 10), st.integers(1, 30), st.floats(0, 20))
def test_a_budget_buys_more_runs_but_never_more_than_200(run_s, repeats, budget_s):
    clock = FakeClock([run_s])
    Timer(clock, repeats=repeats, budget_s=budget_s).least_s(lambda: None)
    counted = clock.runs - 1
    assert repeats <= counted <= max(repeats, 200)
    if repeats < counted < 200:
        assert (counted - 1) * run_s <= budget_s * (1 + 1e-9) <= counted * run_s * (1 + 2e-9)
    if counted == repeats:
        assert repeats * run_s >= budget_s * (1 - 1e-9)


def test_a_call_without_an_end_of_the_budget_stops_at_200():
    clock = FakeClock([0.0])
    assert Timer(clock, repeats=1, budget_s=1).least_s(lambda: None) == 0
    assert clock.runs == 201


def test_every_run_makes_the_call_once():
    calls = []
    Timer(FakeClock([1.0]), repeats=7, budget_s=0).median_s(lambda: calls.append(1))
    assert len(calls) == 8


def test_warm_time_is_read_from_the_hosts_clock(host_clock):
    """Each warming run takes a tenth of a second of the host, whatever the other clock says."""
    clock = FakeClock([1e-6])
    Timer(clock, repeats=5, budget_s=0, warm_s=0.75).median_s(lambda: None)
    assert clock.runs == 8 + 5


def test_wall_time_is_what_passes_between_two_readings(host_clock):
    assert wall_s(lambda: None) == pytest.approx(0.1)
    assert wall_s(lambda: timing.time.perf_counter()) == pytest.approx(0.2)


def test_cpu_time_is_that_of_the_process(monkeypatch):
    readings = iter([3.0, 3.25])
    monkeypatch.setattr(timing.time, "process_time", lambda: next(readings))
    assert cpu_s(lambda: None) == 0.25


def test_an_error_of_the_call_comes_through():
    def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Timer(repeats=1).least_s(broken)


def test_a_timer_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Timer().repeats = 1


@given(st.integers(1, 10**12), st.integers(1, 10**10))
def test_copies_are_cold_unless_there_would_be_too_many(nbytes, cold_bytes):
    copies = copies_for_cold(nbytes, cold_bytes=cold_bytes)
    assert 2 <= copies <= 64
    if copies < 64:
        assert copies * nbytes >= cold_bytes
    if copies > 2:
        assert (copies - 1) * nbytes < cold_bytes


@given(st.lists(st.integers(), min_size=1, max_size=9), st.integers(0, 40))
def test_operands_take_turns(operands, calls):
    seen = []
    call = over_each(seen.append, operands)
    for _ in range(calls):
        call()
    assert seen == list(islice(cycle(operands), calls))


def test_no_operand_is_used_again_before_all_others_were():
    """With as many copies as make cold bytes, so many bytes lie between two uses of one."""
    nbytes, used = 30_000_000, []
    operands = range(copies_for_cold(nbytes))
    call = over_each(used.append, operands)
    for _ in range(5 * len(operands)):
        call()
    for operand in operands:
        first, second, *_ = (i for i, seen in enumerate(used) if seen == operand)
        assert (second - first) * nbytes >= timing.COLD_BYTES
