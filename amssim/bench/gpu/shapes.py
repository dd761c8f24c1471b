"""Times of every launch that a product could have, to hold our choice against: a record.

First all kernels are compiled and loaded by as many processes as there are CPUs, which leaves them
in the caches on disk; then one process measures, layer by layer, until its time is spent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any, Protocol

from amssim._threads import available_cpus
from amssim.bench.gpu import planned
from amssim.bench.gpu.benchmark import Record
from amssim.bench.gpu.planned import Product
from amssim.bench.machine import describe_gpu
from amssim.launch.alternatives import plan_name, possible_launches
from amssim.launch.choose import plan_launch
from amssim.launch.geometry import Gpu, LaunchPlan
from amssim.progress import silent
from amssim.scheme import scheme

KernelKey = tuple[Any, ...]

#: rows x columns; those of common models come first, small ones and extremes last
LAYER_SHAPES = (
    (4096, 4096),
    (28672, 4096),
    (4096, 14336),
    (8192, 8192),
    (57344, 8192),
    (8192, 28672),
    (10240, 8192),
    (6144, 4096),
    (24576, 4096),
    (4096, 12288),
    (51200, 5120),
    (5120, 25600),
    (10240, 5120),
    (5120, 8192),
    (16384, 16384),
    (2048, 2048),
    (14336, 4096),
    (8192, 3072),
    (3072, 8192),
    (3072, 3072),
    (1024, 4096),
    (16384, 2048),
    (2048, 8192),
    (1024, 1024),
)
LAYER_BATCHES = (1, 2, 4, 8, 12, 16, 32, 64)
_SCHEMES = ("fp4.25", "fp5.33")
_COMPILING = 0.55  # of the time, at the most
_ABOUT = (
    "us: least microseconds of a launch by its name (amssim.launch.plan_name), cold weights in "
    "rotation, CUDA graphs; chosen: the launch of amssim.launch.plan_launch. Not measured: "
    "what amssim.launch.possible_launches leaves out, and kernels not compiled in time."
)


class Bench(Protocol):
    """What measures: `amssim.bench.gpu.planned`, or a stand-in."""

    def gpu_here(self) -> Gpu:
        """Return the GPU."""

    def kernel_key(self, gpu: Gpu, product: Product, plan: LaunchPlan) -> KernelKey:
        """Return what a kernel is compiled for."""

    def compile_all(self, tasks: Sequence[tuple[Product, LaunchPlan]], seconds: float) -> list[str]:
        """Return why each kernel could not be had, empty where it could."""

    def layer(self, spec: str, rows: int, columns: int) -> Any:
        """Return weights to multiply by, as `planned.PlannedLayer` does."""

    def describe(self) -> Record:
        """Return what the record should say of the machine."""


def measure_shapes(
    *,
    seconds: float = 480.0,
    layers: Sequence[tuple[int, int]] = LAYER_SHAPES,
    batches: Sequence[int] = LAYER_BATCHES,
    command: str = "",
    save: Callable[[Record], object] = silent,
    say: Callable[[str], object] = silent,
    bench: Bench | None = None,
) -> Record:
    """Time every launch of products on this GPU that `amssim.launch.possible_launches` names.

    Args:
        seconds: after so many no further product is begun.
        layers: (rows, columns) of the weights, in the order of measuring.
        batches: rows of x.
        command: for the record.
        save: called with the record as it grows, after each layer.
        say: called with a line on each step.
        bench: another way to compile and measure.

    Returns:
        {"about", "command", "machine", "gpu", "failed", "results"}; each result is {"scheme",
        "shape", "batch", "bytes", "chosen", "us"}.

    Raises:
        ResourceError: no PyTorch or no GPU.
    """
    bench = bench or OnThisGpu()
    end = time.monotonic() + seconds
    gpu = bench.gpu_here()
    wanted = {p: possible_launches(gpu, *_sizes(p)) for p in _products(layers, batches)}
    keys = {
        (p, plan): bench.kernel_key(gpu, p, plan) for p, plans in wanted.items() for plan in plans
    }
    tasks = {key: task for task, key in reversed(keys.items())}  # the first that needs a kernel
    tasks = {key: tasks[key] for key in keys.values()}  # in the order of need
    say(f"{len(keys)} launches, {len(tasks)} kernels")
    reasons = bench.compile_all(list(tasks.values()), _COMPILING * seconds)
    missing = {key: why for key, why in zip(tasks, reasons, strict=True) if why}
    failed = {str(key): why for key, why in missing.items()}
    say(f"{len(tasks) - len(failed)} kernels are compiled, {end - time.monotonic():.0f} s left")
    record: Record = {"about": _ABOUT, "command": command, "machine": bench.describe()}
    record |= {"gpu": gpu._asdict(), "failed": failed, "results": []}
    for weights in dict.fromkeys(product[:3] for product in wanted):
        if time.monotonic() > end:
            break
        layer = bench.layer(*weights)
        for product, plans in wanted.items():
            if product[:3] == weights and time.monotonic() < end:
                ready = [plan for plan in plans if keys[product, plan] not in missing]
                times_s, failures = layer.times_s(product.batch, ready)
                failed.update({f"{product}: {name}": why for name, why in failures.items()})
                record["results"].append(_result(gpu, product, layer.nbytes, times_s))
        save(record)
        say(f"{' '.join(map(str, weights))} is done, {end - time.monotonic():.0f} s left")
    return record


def _products(layers: Sequence[tuple[int, int]], batches: Sequence[int]) -> Iterator[Product]:
    """Yield products in the order of measuring."""
    for rows, columns in layers:
        for spec in _SCHEMES:
            for batch in batches:
                yield Product(spec, rows, columns, batch)


def _sizes(product: Product) -> tuple[int, int, int, int]:
    """(group, rows, columns, batch) of a product."""
    spec, rows, columns, batch = product
    return scheme(spec).k, rows, columns, batch


def _result(gpu: Gpu, product: Product, nbytes: int, times_s: dict[str, float]) -> Record:
    """The times of one product."""
    return {
        "scheme": product.scheme,
        "shape": [product.rows, product.columns],
        "batch": product.batch,
        "bytes": nbytes,
        "chosen": plan_name(plan_launch(gpu, *_sizes(product))),
        "us": {name: float(f"{1e6 * s:.5g}") for name, s in times_s.items()},
    }


class OnThisGpu:
    """Compiles with all CPUs and measures on the current GPU."""

    gpu_here = staticmethod(planned.gpu_here)
    kernel_key = staticmethod(planned.kernel_key)
    layer = staticmethod(planned.PlannedLayer)
    describe = staticmethod(describe_gpu)

    @staticmethod
    def compile_all(tasks: Sequence[tuple[Product, LaunchPlan]], seconds: float) -> list[str]:
        """Compile and load kernels in processes of their own; return why each failed, if it did.

        Those that are not begun after ``seconds`` are not compiled.
        """
        context = get_context("spawn")
        with ProcessPoolExecutor(available_cpus(), mp_context=context) as pool:
            futures = [pool.submit(planned.load_kernel, *task) for task in tasks]
            wait(futures, timeout=seconds)
            for future in futures:
                future.cancel()
        return [_outcome(future) for future in futures]


def _outcome(future: Future[str]) -> str:
    """Why a kernel could not be had, empty where it could."""
    if future.cancelled():
        return "there was no time to compile it"
    error = future.exception()
    return f"{type(error).__name__}: {error}" if error else future.result()
