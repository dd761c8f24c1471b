"""Measures a GPU profile: bandwidth against bytes in flight, L2, launches, pipes, tensor cores."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from amssim.bench.calibration.curves import latency_s, residency
from amssim.bench.calibration.launch_cost import launch_costs_s
from amssim.bench.gpu.clock import EventClock
from amssim.bench.timing import Timer
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


def calibrate_gpu(name: str = "this-gpu", *, device: int = 0) -> Profile:
    """Measure one NVIDIA GPU, in well under a minute.

    Args:
        name: of the profile.
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
        gpu = _Gpu()
        figures = _pipes(gpu) | _memory(gpu) | _launch_costs() | _limits(gpu)
        title = str(gpu.device.name)
        capability = "{}.{}".format(*gpu.device.compute_capability)
    ordered = {key: figures[key] for key in FIELDS}
    return Profile(name, title, "gpu", ordered, calibrated=True, capability=capability)


class _Gpu:
    """The current device, its kernels and a timer."""

    def __init__(self) -> None:
        from numba import cuda

        from amssim.bench.calibration import gpu_kernels

        self.cuda, self.kernels = cuda, gpu_kernels
        self.timer = Timer(EventClock(), repeats=_REPEATS, budget_s=0)
        self.device = cuda.get_current_device()
        self.sms: int = self.device.MULTIPROCESSOR_COUNT
        self.out = cuda.to_device(np.zeros(2, np.uint64))
        self.out32 = cuda.to_device(np.zeros(1, np.uint32))

    def read_rate(self, words: Any, nbytes: int, ctas: int, total: int) -> float:
        """Bytes per second of ``ctas`` CTAs that read the first ``nbytes``, ``total`` in all."""
        k = self.kernels
        read = k.read[ctas, _THREADS]
        address: int = words.__cuda_array_interface__["data"][0]
        size: int = nbytes // k.WORD_BYTES
        per_round: int = ctas * _THREADS * k.UNROLL * k.WORD_BYTES
        rounds = max(1, total // per_round)
        seconds = self.timer.least_s(lambda: read(address, size, rounds, self.out))
        return rounds * per_round / seconds

    def instructions_per_s(self, kernel: Any, each: int) -> float:
        """Thread instructions per second with every SM full of warps."""
        ctas, threads = self.sms * 4, _THREADS
        seconds = self.timer.least_s(lambda: kernel[ctas, threads](_PASSES, self.out32))
        return ctas * threads * _PASSES * each / seconds


def _memory(gpu: _Gpu) -> dict[str, Figure]:
    k, device = gpu.kernels, gpu.device
    words = gpu.cuda.device_array(_LARGE_BYTES // k.WORD_BYTES, np.uint64)
    per_cta = _THREADS * k.UNROLL * k.WORD_BYTES
    rates = {n: gpu.read_rate(words, _LARGE_BYTES, gpu.sms * n, _LARGE_BYTES) for n in _CTAS_PER_SM}
    flights = {n: gpu.sms * n * per_cta for n in rates}
    dram = max(rates.values())
    peak = max(dram, 2e3 * device.MEMORY_CLOCK_RATE * device.GLOBAL_MEMORY_BUS_WIDTH / 8)
    cached = {
        mib * 2**20: gpu.read_rate(words, mib * 2**20, gpu.sms * 8, _SWEEP_READ_BYTES)
        for mib in _SWEEP_MIB
    }
    l2_bytes, l2 = device.L2_CACHE_SIZE, max(cached.values())
    latency = latency_s(rates, flights, dram)
    held, sharpness, doubt = residency(cached, dram, l2, l2_bytes)
    return {
        "dram_bytes_per_s": Figure(peak, "memory clock times bus width, from the driver"),
        "dram_efficiency": Figure(dram / peak, "read of 1 GiB"),
        "load_latency_s": Figure(latency, "Little's law: bandwidth by CTAs"),
        "l2_bytes": Figure(l2_bytes, "device attribute"),
        "l2_bytes_per_s": Figure(l2, "best read of 4 MiB to 256 MiB, again and again, past L1"),
        "l2_usable": Figure(held / l2_bytes, "working set of which half still hits", doubt),
        "l2_sharpness": Figure(sharpness, "slope of the residency around it", doubt),
    }


def _pipes(gpu: _Gpu) -> dict[str, Figure]:
    k = gpu.kernels
    timed = k.clock[gpu.sms * 4, _THREADS]
    gpu.timer.least_s(lambda: timed(64 * _PASSES, gpu.out))
    clocks, nanoseconds = gpu.out.copy_to_host().tolist()
    clock: float = clocks / nanoseconds * 1e9

    def lanes(kernel: Any, each: int) -> float:
        return gpu.instructions_per_s(kernel, each) / (gpu.sms * clock)

    mma_per_s = gpu.instructions_per_s(k.tensor, k.TENSOR) / 32
    wgmma = "wgmma is faster, mma.sync reaches two thirds of it"
    hopper = tuple(gpu.device.compute_capability) == (9, 0)
    return {
        "sms": Figure(gpu.sms, "device attribute"),
        "clock_hz": Figure(clock, "clock64 over globaltimer in a loop on every SM"),
        "issue_lanes": Figure(lanes(k.mixed, k.MIXED), "logic, IMAD and FFMA in one loop"),
        "alu_lanes": Figure(lanes(k.logic, k.LOGIC), "shifts and LOP3"),
        "imad_lanes": Figure(lanes(k.multiply, k.MULTIPLY), "IMAD"),
        "half_lanes": Figure(2 * lanes(k.half_pairs, k.HALF), "HFMA2, two elements each"),
        "tensor_flops": Figure(
            mma_per_s * k.MMA_FLOPS, "mma.m16n8k16 from registers", wgmma if hopper else ""
        ),
    }


def _launch_costs() -> dict[str, Figure]:
    graph, stream = launch_costs_s()
    return {
        "launch_graph_s": Figure(graph, "one more empty kernel in a CUDA graph"),
        "launch_stream_s": Figure(
            stream, "one more empty kernel, launched from Python", "more than the driver needs"
        ),
    }


def _limits(gpu: _Gpu) -> dict[str, Figure]:
    d = gpu.device
    limits = {
        "warps_per_sm": d.MAX_THREADS_PER_MULTIPROCESSOR // d.WARP_SIZE,
        "registers_per_sm": d.MAX_REGISTERS_PER_MULTIPROCESSOR,
        "shared_bytes_per_sm": d.MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
    }
    return {key: Figure(value, "device attribute") for key, value in limits.items()}
