"""The one timer: seconds of a call, the least or the median of many runs, on cold operands.

A *clock* runs a call once and returns the seconds it took: `wall_s` by the host's clock, `cpu_s`
by that of this process, `amssim.bench.gpu.clock.EventClock` by the GPU's. A `Timer` reads a clock
many times.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TypeVar

Call = Callable[[], object]
Clock = Callable[[Call], float]
Operand = TypeVar("Operand")

#: Operands that the CPU's caches must not hold are cycled through at least this many bytes.
COLD_BYTES = 200_000_000
_MOST_COPIES = 64
_MOST_RUNS = 200


def wall_s(call: Call) -> float:
    """Run ``call`` once and return its wall time in seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def cpu_s(call: Call) -> float:
    """Run ``call`` once and return the CPU seconds of this process, all its threads together."""
    start = time.process_time()
    call()
    return time.process_time() - start


@dataclass(frozen=True)
class Timer:
    """Reads a clock many times.

    Args:
        clock: runs a call once and returns the seconds it took.
        repeats: runs at the least.
        budget_s: past ``repeats``, more runs follow until so many seconds are spent or 200 runs
            are made; noise then hurts less.
        warm_s: wall time of runs that come first and are not counted. There is always one: it
            compiles and touches the pages.

    >>> Timer(repeats=3, budget_s=0).least_s(lambda: None) < 0.1
    True
    """

    clock: Clock = wall_s
    repeats: int = 15
    budget_s: float = 1.5
    warm_s: float = 0.0

    def least_s(self, call: Call) -> float:
        """Return the shortest run of ``call`` in seconds."""
        return min(self._runs_s(call))

    def median_s(self, call: Call) -> float:
        """Return the median run of ``call`` in seconds."""
        return statistics.median(self._runs_s(call))

    def _runs_s(self, call: Call) -> list[float]:
        def run() -> float:
            return self.clock(call)

        warmed = wall_s(run)
        while warmed < self.warm_s:
            warmed += wall_s(run)
        runs: list[float] = []
        while len(runs) < self.repeats or (sum(runs) < self.budget_s and len(runs) < _MOST_RUNS):
            runs.append(run())
        return runs


def copies_for_cold(nbytes: int, *, cold_bytes: int = COLD_BYTES, most: int = _MOST_COPIES) -> int:
    """Return how many copies of ``nbytes`` make ``cold_bytes``: at least 2, and at most ``most``.

    On a CPU, then, matrices below 3 MB are timed from the caches.

    >>> copies_for_cold(64_000_000)
    4
    """
    return min(max(2, -(-cold_bytes // nbytes)), most)


def over_each(function: Callable[[Operand], object], operands: Sequence[Operand]) -> Call:
    """Return a call that applies ``function`` to the next of ``operands``, round and round."""
    following = cycle(operands)
    return lambda: function(next(following))
