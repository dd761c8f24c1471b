"""Timing: the minimum of many runs, on operands that the caches do not hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import cycle

#: Operands of one kernel are cycled through at least this many bytes.
COLD_BYTES = 200_000_000
REPEATS = 15
#: Past `REPEATS` runs, more follow until this much time is spent; noise then hurts less.
BUDGET_S = 1.5
_MOST_REPEATS = 200
_MOST_COPIES = 64


def best_s(call: Callable[[], object], *, repeats: int = REPEATS) -> float:
    """Return the least wall time of ``call`` in seconds over at least ``repeats`` runs.

    One run more comes first and is not counted: it compiles and touches the pages.

    >>> best_s(lambda: None, repeats=3) < 0.1
    True
    """
    call()
    best, spent, done = float("inf"), 0.0, 0
    while done < repeats or (spent < BUDGET_S and done < _MOST_REPEATS):
        start = time.perf_counter()
        call()
        took = time.perf_counter() - start
        best, spent, done = min(best, took), spent + took, done + 1
    return best


def copies_for_cold(nbytes: int) -> int:
    """Return how many copies of ``nbytes`` make `COLD_BYTES`: at least 2, and at most 64.

    Matrices below 3 MB, then, are timed from the caches.

    >>> copies_for_cold(64_000_000)
    4
    """
    return min(max(2, -(-COLD_BYTES // nbytes)), _MOST_COPIES)


def over_each(function: Callable, operands: Sequence) -> Callable[[], object]:
    """Return a call that applies ``function`` to the next of ``operands``, round and round."""
    following = cycle(operands)
    return lambda: function(next(following))
