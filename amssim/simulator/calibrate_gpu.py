"""Measures a GPU profile: bandwidth against bytes in flight, L2, launches, pipes, tensor cores."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

from amssim.errors import ResourceError
from amssim.hardware import Figure, Profile

_THREADS = 256
_LARGE_BYTES = 2**30
_SWEEP_BYTES = [2**k for k in range(20, 30)]
_CTAS_PER_SM = (1, 2, 4, 8)
_REPEATS = 7
_NODES = (100, 300)
_PASSES = 2048
#: Assumed for figures that no kernel here measures.
_REGISTERS, _WARPS, _SHARED = 65536, 48, 102400
_NOT_MEASURED = "not measured"


def calibrate_gpu(name: str, assembler: ModuleType, *, device: int = 0) -> Profile:
    """Measure one NVIDIA GPU, in well under a minute.

    Args:
        name: of the profile.
        assembler: module that makes kernels' PTX instructions, `cuda_kernels.inline`.
        device: ordinal of the GPU.

    Raises:
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
    with cuda.gpus[device]:
        bench = _Bench(assembler)
        figures = _memory(bench) | _pipes(bench) | _launch(bench) | _assumed()
        title = cuda.get_current_device().name
    title = title.decode() if isinstance(title, bytes) else str(title)
    return Profile(name, title, "gpu", figures, calibrated=True)


class _Bench:
    """The current device, its kernels and a clock."""

    def __init__(self, assembler: ModuleType):
        from numba import cuda

        from amssim.simulator import gpu_kernels

        self.cuda, self.kernels = cuda, gpu_kernels
        self.assembled = gpu_kernels.assembled(assembler)
        self.sms = cuda.get_current_device().MULTIPROCESSOR_COUNT
        self.out = cuda.device_array(1, np.uint64)
        self.out32 = cuda.device_array(1, np.uint32)

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

    def read_rate(self, words, ctas: int, passes: int) -> float:
        """Bytes per second of ``ctas`` CTAs reading the array ``passes`` times."""
        read = self.kernels.read[ctas, _THREADS]
        return words.nbytes * passes / self.seconds(lambda: read(words, passes, self.out))

    def instructions_per_s(self, kernel, each: int) -> float:
        """Thread instructions per second with every SM full of warps."""
        ctas = self.sms * 8
        seconds = self.seconds(lambda: kernel[ctas, _THREADS](_PASSES, self.out32))
        return ctas * _THREADS * _PASSES * each / seconds


def _memory(bench: _Bench) -> dict[str, Figure]:
    words = bench.cuda.device_array(_LARGE_BYTES // 8, np.uint64)
    rates = {n: bench.read_rate(words, bench.sms * n, 1) for n in _CTAS_PER_SM}
    dram = max(rates.values())
    per_cta = _THREADS * bench.kernels.UNROLL * bench.kernels.WORD_BYTES
    flights = {n: bench.sms * n * per_cta for n in rates}
    cached = {
        size: bench.read_rate(words[: size // 8], bench.sms * 8, max(1, 2**28 // size))
        for size in _SWEEP_BYTES
    }
    l2 = max(cached.values())
    half = [size for size, rate in cached.items() if rate > (l2 + dram) / 2]
    return {
        "dram_bytes_per_s": Figure(dram, "read of 1 GiB"),
        "dram_efficiency": Figure(1.0, "the bandwidth is the measured one"),
        "load_latency_s": Figure(little(rates, flights, dram), "Little's law: bandwidth by CTAs"),
        "l2_bytes": Figure(max(half), "largest working set half way from DRAM to L2 bandwidth"),
        "l2_bytes_per_s": Figure(l2, "best read of 1 MiB to 512 MiB, again and again"),
        "l2_usable": Figure(1.0, "the size is the measured one"),
        "l2_sharpness": Figure(4.0, "assumed", _NOT_MEASURED),
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


def _pipes(bench: _Bench) -> dict[str, Figure]:
    k, made = bench.kernels, bench.assembled
    clock_kernel = made["clock"][bench.sms * 8, _THREADS]
    seconds = bench.seconds(lambda: clock_kernel(64 * _PASSES, bench.out))
    clock = float(bench.out.copy_to_host()[0]) / seconds

    def lanes(kernel, each: int) -> float:
        return bench.instructions_per_s(kernel, each) / (bench.sms * clock)

    warps_per_s = bench.instructions_per_s(made["tensor"], k.TENSOR) / 32
    return {
        "sms": Figure(bench.sms, "device attribute"),
        "clock_hz": Figure(clock, "clock64 over a loop on every SM, launch included"),
        "issue_lanes": Figure(lanes(k.mixed, k.MIXED), "logic, IMAD and FFMA in one loop"),
        "alu_lanes": Figure(lanes(k.logic, k.LOGIC), "shifts and LOP3"),
        "imad_lanes": Figure(lanes(k.multiply, k.MULTIPLY), "IMAD"),
        "half_lanes": Figure(2 * lanes(made["half"], k.HALF), "HFMA2, two elements each"),
        "tensor_flops": Figure(warps_per_s * k.MMA_FLOPS, "mma.m16n8k16 from registers"),
    }


def _launch(bench: _Bench) -> dict[str, Figure]:
    launch = bench.kernels.empty[1, 32]
    few, many = (bench.seconds(lambda n=n: [launch(bench.out) for _ in range(n)]) for n in _NODES)
    stream = (many - few) / (_NODES[1] - _NODES[0])
    few, many = (_graph_seconds(bench, n) for n in _NODES)
    graph = (many - few) / (_NODES[1] - _NODES[0])
    return {
        "launch_graph_s": Figure(graph, "one more empty kernel in a CUDA graph"),
        "launch_stream_s": Figure(
            max(stream, graph), "one more empty kernel, launched by Numba", "host-bound"
        ),
    }


def _graph_seconds(bench: _Bench, nodes: int) -> float:
    """Seconds of a graph of empty kernels."""
    from cuda.bindings import driver

    stream = bench.cuda.stream()
    handle = driver.CUstream(int(getattr(stream.handle, "value", stream.handle)))
    launch = bench.kernels.empty[1, 32, stream]
    launch(bench.out)  # compiled before the capture
    stream.synchronize()
    relaxed = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
    _checked(driver.cuStreamBeginCapture(handle, relaxed))
    for _ in range(nodes):
        launch(bench.out)
    graph = _checked(driver.cuStreamEndCapture(handle))
    ready = _checked(driver.cuGraphInstantiate(graph, 0))
    start, end = bench.cuda.event(), bench.cuda.event()
    found = []
    for _ in range(_REPEATS):
        start.record(stream)
        _checked(driver.cuGraphLaunch(ready, handle))
        end.record(stream)
        end.synchronize()
        found.append(bench.cuda.event_elapsed_time(start, end) * 1e-3)
    return min(found)


def _checked(answer: tuple):
    """Return what a driver call gave, or raise what it complains of."""
    code, *values = answer
    if int(code):
        raise ResourceError(f"the CUDA driver refused to time a graph: {code!r}")
    return values[0] if values else None


def _assumed() -> dict[str, Figure]:
    return {
        "warps_per_sm": Figure(_WARPS, "least of recent GPUs", _NOT_MEASURED),
        "registers_per_sm": Figure(_REGISTERS, "all NVIDIA GPUs since 2014", _NOT_MEASURED),
        "shared_bytes_per_sm": Figure(_SHARED, "least of recent GPUs", _NOT_MEASURED),
    }
