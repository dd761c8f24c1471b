"""Measures a CPU profile: bandwidth, last-level cache, latency, clock and vector pipes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from amssim._threads import available_cpus
from amssim.bench.calibration import cpu_kernels as kernels
from amssim.bench.machine import processor_name
from amssim.bench.timing import Call, Timer
from amssim.errors import InputError
from amssim.hardware import Figure, Profile

_TIMER = Timer(repeats=5, budget_s=0)
_LARGE_BYTES = 2**28
_CHASED_BYTES = 2**26
_SMALL_WORDS = 2**11
_SWEEP_BYTES = [2**k for k in range(18, 28)]
_STEPS = 2**20
_VECTOR_REPEATS = 200


def calibrate_cpu(name: str = "this-cpu", *, threads: int | None = None) -> Profile:
    """Measure this machine's CPU, in a few seconds.

    Args:
        name: of the profile.
        threads: how many to use, by default all that this process may.

    Raises:
        InputError: not a number of threads that can run at once.
    """
    most = available_cpus()
    threads = most if threads is None else threads
    if not isinstance(threads, int) or isinstance(threads, bool) or not 1 <= threads <= most:
        raise InputError(
            f"threads is {threads!r}, expected a whole number from 1 to {most}, "
            f"on which this process may run"
        )
    with ThreadPoolExecutor(threads) as pool:
        measured = _memory(pool, threads) | _pipes(threads) | _launch_costs(pool, threads)
    figures = measured | _assumed()
    return Profile(name, f"{processor_name()}, {threads} threads", "cpu", figures, calibrated=True)


def _read_rate(pool: ThreadPoolExecutor, threads: int, size: int) -> float:
    """Bytes per second of all threads reading ``size`` bytes between them, again and again."""
    parts = np.array_split(np.ones(size // 8, np.uint64), threads)
    passes = max(1, 2**25 // size)

    def read(part: np.ndarray) -> None:
        for _ in range(passes):
            kernels.total(part)

    return passes * size / _TIMER.least_s(lambda: list(pool.map(read, parts)))


def _memory(pool: ThreadPoolExecutor, threads: int) -> dict[str, Figure]:
    dram = _read_rate(pool, threads, _LARGE_BYTES)
    rates = {size: _read_rate(pool, threads, size) for size in _SWEEP_BYTES}
    half_way = (max(rates.values()) * dram) ** 0.5
    size = max((n for n, rate in rates.items() if rate > half_way), default=_SWEEP_BYTES[0])
    following = _one_cycle(_CHASED_BYTES // 8)
    latency = _TIMER.least_s(lambda: kernels.chase(following, _STEPS)) / _STEPS
    return {
        "dram_bytes_per_s": Figure(dram, f"read of {_LARGE_BYTES >> 20} MiB by all threads"),
        "dram_efficiency": Figure(1.0, "the bandwidth is the measured one"),
        "load_latency_s": Figure(latency, f"dependent loads over {_CHASED_BYTES >> 20} MiB"),
        "l2_bytes": Figure(size, "largest working set read at the geometric mean of best and DRAM"),
        "l2_bytes_per_s": Figure(rates[size], "read of that working set by all threads"),
        "l2_usable": Figure(1.0, "the size is the measured one"),
        "l2_sharpness": Figure(4.0, "assumed", "not measured"),
    }


def _one_cycle(count: int) -> np.ndarray:
    """int64[count] where each index leads to another, all on one random cycle."""
    order = np.random.default_rng(0).permutation(count)
    following = np.empty_like(order)
    following[order] = np.roll(order, -1)
    return following


def _pipes(threads: int) -> dict[str, Figure]:
    """Clock from a chain of dependent operations; lanes as operations per clock of one core."""
    clock = kernels.CHAIN_OPERATIONS * _STEPS / _TIMER.least_s(lambda: kernels.chain(_STEPS))
    x, y = np.ones(_SMALL_WORDS, np.uint32), np.ones(_SMALL_WORDS, np.float32)
    elements = _SMALL_WORDS * _VECTOR_REPEATS

    def lanes(work: Call, operations: int) -> float:
        return max(1.0, operations * elements / _TIMER.least_s(work) / clock)

    logic = lanes(lambda: kernels.shifts(x, _VECTOR_REPEATS), kernels.SHIFT_OPERATIONS)
    multiply = lanes(lambda: kernels.multiplies(x, _VECTOR_REPEATS), kernels.MULTIPLIES)
    fused = lanes(lambda: kernels.multiply_adds(y, _VECTOR_REPEATS), kernels.MULTIPLY_ADDS)
    both = kernels.SHIFT_OPERATIONS + kernels.MULTIPLY_ADDS
    issue = lanes(lambda: kernels.shifts_and_multiply_adds(x, y, _VECTOR_REPEATS), both)
    return {
        "sms": Figure(threads, "threads that were used"),
        "clock_hz": Figure(clock, "chain of dependent shifts and exclusive ors"),
        "issue_lanes": Figure(max(issue, logic, fused), "logic and float32 work in one loop"),
        "alu_lanes": Figure(logic, "shifts and exclusive ors on vectors"),
        "imad_lanes": Figure(multiply, "32-bit multiplies on vectors"),
        "half_lanes": Figure(fused, "float32 fused multiply-adds on vectors"),
        "tensor_flops": Figure(2 * fused * clock * threads, "two per float32 multiply-add"),
    }


def _launch_costs(pool: ThreadPoolExecutor, threads: int) -> dict[str, Figure]:
    nothing = np.ones(1, np.uint64)
    seconds = _TIMER.least_s(lambda: list(pool.map(kernels.total, [nothing] * threads)))
    figure = Figure(seconds, "an empty task on every thread of a pool")
    return {"launch_graph_s": figure, "launch_stream_s": figure}


def _assumed() -> dict[str, Figure]:
    doubt = "not measured"
    return {
        "warps_per_sm": Figure(1, "one thread per core", doubt),
        "registers_per_sm": Figure(256, "32 vector registers of 8 lanes", doubt),
        "shared_bytes_per_sm": Figure(32768, "common size of a first-level data cache", doubt),
    }
