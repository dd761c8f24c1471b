"""Times of products on this GPU: cold weights, CUDA graphs, cuBLAS in the same process.

Needs PyTorch. Weights are random words, so every bit pattern occurs; each product is compared
with float64 in every row before it is timed.
"""

import copy
import statistics
import time

import numpy as np

from amssim.errors import MismatchError, ResourceError
from amssim.layout import layout
from amssim.scheme import Scheme
from cuda_kernels import driver
from cuda_kernels.matrix import Matrix

COLD_BYTES = 300_000_000  # of copies in rotation: more than 4 times an H200's L2 of 60 MB
WARM_S = 0.06  # of the same work before it is timed: clocks of an idle GPU cost the first 10 %
REPLAYS = 15
ACCEPTED = 1e-3  # relative error of a float16 result


def torch_or_error():
    """Return PyTorch.

    Raises:
        ResourceError: it is not installed or sees no GPU.
    """
    try:
        import torch
    except ImportError:
        raise ResourceError("the GPU benchmark needs PyTorch: pip install torch") from None
    if not torch.cuda.is_available():
        raise ResourceError("PyTorch sees no GPU: see nvidia-smi")
    return torch


def graph_us(launch, count: int) -> float:
    """Median microseconds per launch over replays of a graph of ``count`` launches, GPU warm."""
    torch = torch_or_error()
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        for i in range(2):
            launch(i)
    stream.synchronize()
    with torch.cuda.graph(graph, stream=stream):
        for i in range(count):
            launch(i)
    start, end = torch.cuda.Event(True), torch.cuda.Event(True)

    def replay_us() -> float:
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) * 1000 / count

    warm = time.perf_counter() + WARM_S
    while time.perf_counter() < warm:
        replay_us()
    return statistics.median(replay_us() for _ in range(REPLAYS))


def copies_of(nbytes: int) -> int:
    """Copies of a layer that together never fit the L2 cache."""
    return max(2, min(64, -(-COLD_BYTES // nbytes)))


def copy_tbps() -> float:
    """Device-to-device copy bandwidth in 10^12 bytes per second, read plus written."""
    torch = torch_or_error()
    source = torch.randn(500_000_000, device="cuda", dtype=torch.float16)
    target = torch.empty_like(source)
    return 4 * source.numel() / graph_us(lambda _: torch.mul(source, 2, out=target), 5) / 1e6


def cublas_us(rows: int, columns: int, batch: int) -> float:
    """The faster of torch.mm and, for one row of activations, torch.mv on cold float16 weights."""
    torch = torch_or_error()
    half = {"device": "cuda", "dtype": torch.float16}
    count = copies_of(2 * rows * columns)
    weights = [torch.randn(rows, columns, **half) for _ in range(count)]
    x, out = torch.randn(batch, columns, **half), torch.empty(batch, rows, **half)
    launches = max(count, 8)
    best = graph_us(lambda i: torch.mm(x, weights[i % count].t(), out=out), launches)
    if batch == 1:
        vector, to = x[0], out[0]
        mv = graph_us(lambda i: torch.mv(weights[i % count], vector, out=to), launches)
        best = min(best, mv)
    return best


class Layer:
    """Random packed weights in as many copies as cold timing needs."""

    def __init__(self, scheme: Scheme, rows: int, columns: int):
        from numba import cuda

        rng = np.random.default_rng(0)
        shape = (rows, layout(scheme).row_words(columns))
        words = rng.integers(0, 2**16, shape, np.uint16)
        scales = np.exp2(rng.uniform(-1, 1, (rows, 1))).astype(np.float32)
        first = Matrix(scheme, (rows, columns), words, scales, None, None)
        self.shape, self.copies = (rows, columns), [first]
        self.nbytes = first.form.nbytes(rows, columns)
        for _ in range(copies_of(self.nbytes) - 1):
            other = copy.copy(first)
            other._launches, other._workspace, other._known = {}, {}, {}
            for name in ("_words", "_tails"):
                source = getattr(first, name)
                target = cuda.device_array_like(source)
                target.copy_to_device(source)
                setattr(other, name, target)
            self.copies.append(other)
        cuda.synchronize()

    def check(self, x, out) -> float:
        """Relative error of the product against float64, all rows.

        Raises:
            MismatchError: it is larger than float16 explains.
        """
        torch = torch_or_error()
        out.fill_(float("nan"))
        self.copies[0].gemv(x, out)
        dense = self.copies[0].dequantize("float32", library="torch")
        expected = torch.cat([x.double() @ part.double().t() for part in dense.split(8192)], 1)
        error = float((out.double() - expected).norm() / expected.norm())
        if not error < ACCEPTED:
            raise MismatchError(f"the product of {self.shape} differs from float64 by {error:.1e}")
        return error

    def product(self, batch: int) -> tuple[float, float]:
        """(microseconds, relative error) of the product with float16 activations."""
        torch = torch_or_error()
        rows, columns = self.shape
        x = torch.randn(batch, columns, device="cuda", dtype=torch.float16)
        out = torch.empty(batch, rows, device="cuda", dtype=torch.float16)
        error = self.check(x, out)
        count = len(self.copies)
        for other in self.copies:  # launch blocks are made outside the graph
            other.gemv(x, out)
        return graph_us(lambda i: self.copies[i % count].gemv(x, out), max(count, 16)), error

    def dequantize_us(self) -> float:
        """Microseconds of the dense float16 weights."""
        torch = torch_or_error()
        out = torch.empty(self.shape, device="cuda", dtype=torch.float16)
        count = len(self.copies)
        for other in self.copies:
            other.dequantize("float16", out)
        return graph_us(lambda i: self.copies[i % count].dequantize("float16", out), count)

    def host_us(self) -> tuple[float, float]:
        """Microseconds the host spends on a product, and of these in the driver's launch call."""
        torch = torch_or_error()
        x = torch.randn(self.shape[1], device="cuda", dtype=torch.float16)
        out = torch.empty(self.shape[0], device="cuda", dtype=torch.float16)
        layer = self.copies[0]
        layer.gemv(x, out)
        launch = layer._launches["float16", "float16", 1].launch

        def least_us(call) -> float:
            times = []
            for _ in range(50):
                torch.cuda.synchronize()
                start = time.perf_counter()
                for _ in range(10):
                    call()
                times.append((time.perf_counter() - start) / 10)
            return min(times) * 1e6

        return least_us(lambda: layer.gemv(x, out)), least_us(launch.driver_call)


def machine() -> dict:
    """GPU, driver and versions, for the record."""
    from importlib import metadata

    torch = torch_or_error()
    version = driver.ctypes.c_int()
    driver.check(driver.library().cuDriverGetVersion(driver.ctypes.byref(version)), "ask")
    names = ("numba", "numba-cuda", "numpy", "torch", "cuda-bindings")
    return {
        "gpu": torch.cuda.get_device_name(),
        "multiprocessors": torch.cuda.get_device_properties(0).multi_processor_count,
        "driver_cuda": f"{version.value // 1000}.{version.value % 1000 // 10}",
        "versions": {name: metadata.version(name) for name in names},
    }
