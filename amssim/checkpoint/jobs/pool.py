"""Threads that do pieces of work, each a whole one at a time; the first error stops them all.

Work may ask for more work, which goes before what waits. Work that only waits for the disk has a
thread of its own, so that it holds up nobody.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from amssim.checkpoint.jobs.buffers import Buffers
from amssim.errors import ResourceError

# Past this many, which no machine has processors for, work waits for a thread.
_MOST_THREADS = 1024


class Work(Protocol):
    """One piece of work."""

    @property
    def number(self) -> int:
        """Of several errors, the one of the lowest number is reported."""

    @property
    def waits(self) -> bool:
        """Whether it only waits for the disk."""

    def run(self, room: Buffers) -> Iterable[Work]:
        """Do it, in buffers of ``room``; return what has to be done now that it is."""


class Pool:
    """Does all ``works`` and what they ask for, on ``threads`` threads and one for the disk.

    ``news`` is called in the calling thread after each piece of work, as soon as that can be.
    """

    def __init__(self, works: Iterable[Work], threads: int, news: Callable[[], None]):
        self._more: Iterator[Work] = iter(works)
        self._threads, self._news = threads, news
        self._asked: dict[bool, deque[Work]] = {False: deque(), True: deque()}
        self._changed = threading.Condition()
        self._running = 0
        self._stopped = False
        self._faults: list[tuple[int, BaseException]] = []

    def run(self) -> None:
        """Do everything; of several errors the one of the lowest number is raised.

        An interrupt lets each thread finish the work that it is at, and nothing else.

        Raises:
            ResourceError: not even two threads can be started; fewer than asked for will do.
        """
        lanes = [True] + [False] * min(self._threads, _MOST_THREADS)
        workers = [threading.Thread(target=self._work, args=(w,), daemon=True) for w in lanes]
        try:
            _start(workers)
            self._wait()
        finally:
            self._stop()
            _join(workers[1:])
        self._news()
        if self._faults:
            raise min(self._faults, key=lambda fault: fault[0])[1]

    def _wait(self) -> None:
        while True:
            with self._changed:
                if self._stopped:
                    return
                self._changed.wait()
            self._news()

    def _work(self, waits: bool) -> None:
        try:
            self._do_works(waits)
        except BaseException as fault:  # memory that is short even between two works
            with self._changed:
                self._faults.append((0, fault))
                self._stopped = True
                self._changed.notify_all()

    def _do_works(self, waits: bool) -> None:
        room = Buffers()
        while (work := self._take(waits)) is not None:
            try:
                asked = list(work.run(room))
            except BaseException as fault:
                self._done([], (work.number, fault))
            else:
                self._done(asked)

    def _take(self, waits: bool) -> Work | None:
        """Return the next work of a kind; None when all is done or stopped."""
        with self._changed:
            while not self._stopped:
                work = self._next(waits)
                if work is not None:
                    self._running += 1
                    return work
                if not (self._running or any(self._asked.values()) or waits):
                    self._stopped = True
                    self._changed.notify_all()
                    break
                self._changed.wait()
        return None

    def _next(self, waits: bool) -> Work | None:
        if self._asked[waits]:
            return self._asked[waits].popleft()
        return None if waits else next(self._more, None)

    def _done(self, asked: list[Work], fault: tuple[int, BaseException] | None = None) -> None:
        with self._changed:
            self._running -= 1
            for work in asked:
                self._asked[work.waits].append(work)
            if fault:
                self._faults.append(fault)
                self._stopped = True
            self._changed.notify_all()

    def _stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


def _start(workers: list[threading.Thread]) -> None:
    """Start as many threads as there can be, the first two at least."""
    for count, worker in enumerate(workers):
        try:
            worker.start()
        except RuntimeError as error:
            if count < 2:
                raise ResourceError(
                    f"{error}: allow this process more memory or more threads"
                ) from None
            return


def _join(workers: list[threading.Thread]) -> None:
    """Wait for the work at hand, also when the interrupt comes again."""
    interrupted = False
    for worker in workers:
        while worker.ident is not None and worker.is_alive():
            try:
                worker.join()
            except KeyboardInterrupt:
                interrupted = True
    if interrupted:
        raise KeyboardInterrupt
