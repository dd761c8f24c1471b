"""Measures a GPU profile: bandwidth against bytes in flight, L2, launches, pipes, tensor cores."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np

from amssim.errors import InputError, ResourceError
from amssim.hardware import FIELDS, Figure, Profile

_THREADS = 256
_LARGE_BYTES = 2**30
#: Working sets of the L2 sweep, MiB, and the bytes that each reading of one adds up to.
_SWEEP_MIB = (4, 8, 16, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 72, 80, 96, 112, 128, 192, 256)
_SWEEP_READ_BYTES = 2**31
_CTAS_PER_SM = (1, 2, 4, 8)
_REPEATS = 7
_PASSES = 1024
#: Residency is read off where a working set is neither in the cache nor out of it.
_PARTLY = (0.05, 0.8)
_SHARPNESS = 4.0


def calibrate_gpu(name: str, assembler: ModuleType, *, device: int = 0) -> Profile:
    """Measure one NVIDIA GPU, in well under a minute.

    Args:
        name: of the profile.
        assembler: module that makes kernels' PTX instructions, `cuda_kernels.ptx.inline`.
        device: ordinal of the GPU.

    Raises:
        InputError: no such ordinal.
        ResourceError: no GPU or driver, or the CUDA simulator in its place.
    """
    from numba import config, cuda

    if config.ENABLE_CUDASIM:
        raise ResourceError(
            "NUMBA_ENABLE_CUDASIM is set: a simulated GPU has no speed; unset it to calibrate"
        )
    if not cuda.is_available():
        raise ResourceError(
            "no NVIDIA GPU with a working driver here: run amssim calibrate gpu on the machine "
            "that has it, and pass the file it writes as gpu=..."
        )
    if not 0 <= device < len(cuda.gpus):
        raise InputError(f"device is {device}, expected 0 to {len(cuda.gpus) - 1}")
    with cuda.gpus[device], warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Numba's, about small grids and host arrays
        bench = _Bench(assembler)
        figures = _pipes(bench) | _memory(bench) | _launch() | _limits(bench)
        title = str(bench.device.name)
        capability = "{}.{}".format(*bench.device.compute_capability)
    ordered = {key: figures[key] for key in FIELDS}
    return Profile(name, title, "gpu", ordered, calibrated=True, capability=capability)


class _Bench:
    """The current device, its kernels and a clock."""

    def __init__(self, assembler: ModuleType):
        from numba import cuda

        from amssim.bench import gpu_kernels

        self.cuda, self.kernels = cuda, gpu_kernels
        self.assembled = gpu_kernels.assembled(assembler)
        self.device = cuda.get_current_device()
        self.sms = self.device.MULTIPROCESSOR_COUNT
        self.out = cuda.to_device(np.zeros(2, np.uint64))
        self.out32 = cuda.to_device(np.zeros(1, np.uint32))

    def seconds(self, work: Callable[[], object]) -> float:
        """Device time of the fastest of several runs, after one that compiles and warms up."""
        work()
        start, end = self.cuda.event(), self.cuda.event()
        found = []
        for _ in range(_REPEATS):
            start.record()
            work()
            end.record()
            end.synchronize()
            found.append(self.cuda.event_elapsed_time(start, end) * 1e-3)
        return min(found)

    def read_rate(self, words, nbytes: int, ctas: int, total: int) -> float:
        """Bytes per second of ``ctas`` CTAs that read the first ``nbytes``, ``total`` in all."""
        k = self.kernels
        read = self.assembled["read"][ctas, _THREADS]
        address, size = words.__cuda_array_interface__["data"][0], nbytes // k.WORD_BYTES
        per_round = ctas * _THREADS * k.UNROLL * k.WORD_BYTES
        rounds = max(1, total // per_round)
        return rounds * per_round / self.seconds(lambda: read(address, size, rounds, self.out))

    def instructions_per_s(self, kernel, each: int) -> float:
        """Thread instructions per second with every SM full of warps."""
        ctas = self.sms * 4
        seconds = self.seconds(lambda: kernel[ctas, _THREADS](_PASSES, self.out32))
        return ctas * _THREADS * _PASSES * each / seconds


def _memory(bench: _Bench) -> dict[str, Figure]:
    k, device = bench.kernels, bench.device
    words = bench.cuda.device_array(_LARGE_BYTES // k.WORD_BYTES, np.uint64)
    per_cta = _THREADS * k.UNROLL * k.WORD_BYTES
    rates = {
        n: bench.read_rate(words, _LARGE_BYTES, bench.sms * n, _LARGE_BYTES) for n in _CTAS_PER_SM
    }
    flights = {n: bench.sms * n * per_cta for n in rates}
    dram = max(rates.values())
    peak = max(dram, 2e3 * device.MEMORY_CLOCK_RATE * device.GLOBAL_MEMORY_BUS_WIDTH / 8)
    cached = {
        mib * 2**20: bench.read_rate(words, mib * 2**20, bench.sms * 8, _SWEEP_READ_BYTES)
        for mib in _SWEEP_MIB
    }
    l2_bytes, l2 = device.L2_CACHE_SIZE, max(cached.values())
    held, sharpness, doubt = residency(cached, dram, l2, l2_bytes)
    return {
        "dram_bytes_per_s": Figure(peak, "memory clock times bus width, from the driver"),
        "dram_efficiency": Figure(dram / peak, "read of 1 GiB"),
        "load_latency_s": Figure(little(rates, flights, dram), "Little's law: bandwidth by CTAs"),
        "l2_bytes": Figure(l2_bytes, "device attribute"),
        "l2_bytes_per_s": Figure(l2, "best read of 4 MiB to 256 MiB, again and again, past L1"),
        "l2_usable": Figure(held / l2_bytes, "working set of which half still hits", doubt),
        "l2_sharpness": Figure(sharpness, "slope of the residency around it", doubt),
    }


def little(rates: dict[int, float], flights: dict[int, float], peak: float) -> float:
    """Return the latency that explains bandwidths below the peak, in seconds.

    Inverts rate = peak / sqrt(1 + (peak latency / bytes in flight)^2) where it says most.

    Args:
        rates: bytes per second by occupancy.
        flights: bytes in flight by occupancy.
        peak: bytes per second.

    >>> rate = 4e12 / (1 + (4e12 * 6e-7 / 1e6) ** 2) ** 0.5
    >>> round(little({1: rate}, {1: 1e6}, 4e12) * 1e9)
    600
    """
    key = min(rates, key=rates.get)
    short = max((peak / rates[key]) ** 2 - 1, 1e-4)
    return flights[key] * short**0.5 / peak


def residency(
    cached: dict[int, float], dram: float, l2: float, l2_bytes: int
) -> tuple[float, float, str]:
    """Return (bytes of which half still hit, sharpness of the curve, doubt) of an L2 sweep.

    A byte takes h / l2 + (1 - h) / dram, which gives the share h that hits; a straight line through
    log(1 / h - 1) over log(bytes) is the logistic curve of `equations.resident_share`.

    Args:
        cached: bytes per second by working set in bytes.
        dram, l2: bytes per second of both memories.
        l2_bytes: the cache's size, for when no working set is partly in it.

    >>> hit = {z: 1 / (1 + (z / 5e7) ** 6) for z in (40_000_000, 50_000_000, 60_000_000)}
    >>> rates = {z: 1 / (h / 1e13 + (1 - h) / 4e12) for z, h in hit.items()}
    >>> [round(x) for x in residency(rates, 4e12, 1e13, 60_000_000)[:2]]
    [50000000, 6]
    """
    hits = {z: (1 / dram - 1 / rate) / (1 / dram - 1 / l2) for z, rate in cached.items()}
    partly = {z: h for z, h in hits.items() if _PARTLY[0] < h < _PARTLY[1]}
    if len(partly) < 2:
        return float(l2_bytes), _SHARPNESS, "no working set of the sweep was partly resident"
    odds = [math.log(1 / h - 1) for h in partly.values()]
    slope, offset = np.polyfit([math.log(z) for z in partly], odds, 1)
    low, high = FIELDS["l2_sharpness"].low, FIELDS["l2_sharpness"].high
    return math.exp(-offset / slope), min(max(float(slope), low), high), ""


def _pipes(bench: _Bench) -> dict[str, Figure]:
    k, made = bench.kernels, bench.assembled
    timed = made["clock"][bench.sms * 4, _THREADS]
    bench.seconds(lambda: timed(64 * _PASSES, bench.out))
    clocks, nanoseconds = bench.out.copy_to_host().tolist()
    clock = clocks / nanoseconds * 1e9

    def lanes(kernel, each: int) -> float:
        return bench.instructions_per_s(kernel, each) / (bench.sms * clock)

    mma_per_s = bench.instructions_per_s(made["tensor"], k.TENSOR) / 32
    wgmma = "wgmma is faster, mma.sync reaches two thirds of it"
    hopper = tuple(bench.device.compute_capability) == (9, 0)
    return {
        "sms": Figure(bench.sms, "device attribute"),
        "clock_hz": Figure(clock, "clock64 over globaltimer in a loop on every SM"),
        "issue_lanes": Figure(lanes(k.mixed, k.MIXED), "logic, IMAD and FFMA in one loop"),
        "alu_lanes": Figure(lanes(k.logic, k.LOGIC), "shifts and LOP3"),
        "imad_lanes": Figure(lanes(k.multiply, k.MULTIPLY), "IMAD"),
        "half_lanes": Figure(2 * lanes(made["half"], k.HALF), "HFMA2, two elements each"),
        "tensor_flops": Figure(
            mma_per_s * k.MMA_FLOPS, "mma.m16n8k16 from registers", wgmma if hopper else ""
        ),
    }


def _launch() -> dict[str, Figure]:
    from amssim.bench.launch_cost import launch_seconds

    graph, stream = launch_seconds()
    return {
        "launch_graph_s": Figure(graph, "one more empty kernel in a CUDA graph"),
        "launch_stream_s": Figure(
            stream, "one more empty kernel, launched from Python", "more than the driver needs"
        ),
    }


def _limits(bench: _Bench) -> dict[str, Figure]:
    d = bench.device
    found = {
        "warps_per_sm": d.MAX_THREADS_PER_MULTIPROCESSOR // d.WARP_SIZE,
        "registers_per_sm": d.MAX_REGISTERS_PER_MULTIPROCESSOR,
        "shared_bytes_per_sm": d.MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
    }
    return {key: Figure(value, "device attribute") for key, value in found.items()}
