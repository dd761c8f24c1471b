"""Rows over threads: kernels release the GIL, so plain threads are all that is needed.

One pool serves the process; its tasks never submit tasks, so callers may be threads themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

from amssim._whole import is_positive_whole
from amssim.errors import InputError

# Threads are only started when all others are busy; past this many, ranges wait for one.
_MOST_THREADS = 256
# Waking a thread takes about 40 us, in which one thread does this many multiplications.
_PRODUCTS_PER_THREAD = 1 << 20


def thread_count(threads: int | None = None) -> int:
    """Return ``threads``, or the usable CPUs if None; `InputError` if it is not positive."""
    if threads is None:
        return available_cpus()
    if not is_positive_whole(threads):
        raise InputError(f"threads must be a positive whole number or None, found {threads!r}")
    return int(threads)


def available_cpus() -> int:
    """Return the number of CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def product_threads(threads: int, products: int) -> int:
    """Return how many of ``threads`` are worth waking for so many multiplications."""
    return min(threads, 1 + products // _PRODUCTS_PER_THREAD)


def over_rows(work: Callable[[int, int], object], rows: int, threads: int) -> None:
    """Call ``work(start, stop)`` on contiguous ranges that cover ``rows``, one per thread.

    The first range runs in the calling thread; an exception in any range is raised here.
    """
    parts = max(1, min(threads, rows))
    bounds = [rows * i // parts for i in range(parts + 1)]
    ranges = list(pairwise(bounds))
    others = [_pool().submit(work, *r) for r in ranges[1:]]
    try:
        work(*ranges[0])
    finally:
        for task in others:
            task.exception()  # wait for all before any array may be freed
    for task in others:
        task.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="amssim")


if hasattr(os, "register_at_fork"):  # a forked child has no threads left in its pools
    os.register_at_fork(after_in_child=_pool.cache_clear)
