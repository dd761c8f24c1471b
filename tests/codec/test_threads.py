"""Rows over threads."""

import threading

import pytest

from amssim import InputError
from amssim._threads import available_cpus, over_rows, thread_count


@pytest.mark.parametrize(("rows", "threads"), [(1, 1), (1, 8), (5, 2), (7, 7), (100, 8)])
def test_every_row_belongs_to_one_range(rows, threads):
    ranges, names = [], set()

    def work(start, stop):
        ranges.append((start, stop))
        names.add(threading.current_thread().name)

    over_rows(work, rows, threads)
    assert sorted(r for start, stop in ranges for r in range(start, stop)) == list(range(rows))
    assert len(ranges) == min(rows, threads)
    assert all(start < stop for start, stop in ranges)
    assert threading.current_thread().name in names


def test_ranges_run_at_the_same_time():
    together = threading.Barrier(3, timeout=30)
    over_rows(lambda start, stop: together.wait(), 3, 3)


@pytest.mark.parametrize("failing", range(4))
def test_an_exception_in_any_range_arrives_after_all_have_ended(failing):
    ended = []

    def work(start, stop):
        if start == failing:
            raise InputError(f"row {start}")
        ended.append(start)

    with pytest.raises(InputError, match=f"row {failing}"):
        over_rows(work, 4, 4)
    assert sorted(ended) == [r for r in range(4) if r != failing]


def test_thread_counts():
    assert thread_count(None) == available_cpus() >= 1
    assert thread_count(3) == 3


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_counts_that_make_no_sense(threads):
    with pytest.raises(InputError, match="threads must be a positive whole number or None, found"):
        thread_count(threads)
