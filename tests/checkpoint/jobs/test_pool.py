"""Threads that do works: order of errors, work that asks for more, the disk's own thread."""

import _thread
import threading
import time
from dataclasses import dataclass, field
from functools import partial

import pytest

from amssim import ResourceError
from amssim.checkpoint.jobs.pool import Pool


@dataclass
class Call:
    """Work that calls something."""

    what: object
    number: int = 0
    waits: bool = False
    after: list = field(default_factory=list)

    def run(self, room):
        self.what()
        return self.after


def run(works, threads=2, news=lambda: None):
    before = threading.active_count()
    try:
        Pool(works, threads, news).run()
    finally:
        until = time.monotonic() + 5
        while threading.active_count() > before and time.monotonic() < until:
            time.sleep(0.001)
        assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 2, 7, 10**30])
def test_everything_is_done_and_told(threads):
    done, told = [], []
    after = [Call(lambda: done.append("b")), Call(lambda: done.append("c"), waits=True)]
    works = [Call(lambda: done.append("a"), after=after) for _ in range(50)]
    run(works, threads, lambda: told.append(len(done)))
    assert sorted(done) == sorted("abc" * 50) and told[-1] == 150


@pytest.mark.parametrize("allowed", range(4))
def test_a_system_that_starts_few_threads(monkeypatch, allowed):
    real, started, done = threading.Thread.start, [], []

    def start(thread):
        if len(started) == allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    works = [Call(partial(done.append, n), n, waits=n % 2 == 0) for n in range(9)]
    if allowed < 2:
        with pytest.raises(ResourceError, match="start new thread: allow"):
            run(works, threads=5)
    else:
        run(works, threads=5)
        assert sorted(done) == list(range(9))


def test_works_that_cannot_be_had_end_it():
    def works():
        yield Call(lambda: None)
        raise MemoryError

    with pytest.raises(MemoryError):
        run(works())


def test_nothing_to_do():
    run([])


def test_what_is_asked_for_goes_before_what_waits():
    done = []
    works = [Call(lambda: done.append(1), after=[Call(lambda: done.append(2))]) for _ in range(3)]
    run(works, 1)
    assert done == [1, 2, 1, 2, 1, 2]


def test_waiting_for_the_disk_holds_up_nobody():
    free = threading.Event()
    works = [Call(lambda: None, after=[Call(lambda: free.wait(5) or 1 / 0, waits=True)])]
    run([*works, Call(free.set)], 1)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_error_of_the_lowest_number_is_raised_and_the_rest_is_left(threads):
    done = []

    def fail(number):
        time.sleep(0.01 if number == 3 else 0)
        raise ValueError(number)

    works = [Call(lambda i=i: fail(i) if i >= 3 else None, i) for i in range(9)]
    works += [Call(lambda: done.append(1), 10 + i) for i in range(1000)]
    with pytest.raises(ValueError, match=r"^3$"):
        run(works, threads)
    assert len(done) < 1000


def test_an_interrupt_ends_it_within_a_second_after_the_work_at_hand():
    begun, ended = [], []

    def work():
        begun.append(1)
        time.sleep(0.05)
        ended.append(1)

    timer = threading.Timer(0.1, _thread.interrupt_main)
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Pool([Call(work) for _ in range(1000)], 2, lambda: None).run()
    assert time.monotonic() - start < 1.5 and len(begun) == len(ended) < 100


def test_an_error_of_the_listener_ends_it():
    def refuse():
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        run([Call(lambda: time.sleep(0.001)) for _ in range(1000)], 2, refuse)
