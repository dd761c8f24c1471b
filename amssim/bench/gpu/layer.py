"""Times of packed products on this GPU: cold weights, CUDA graphs. Needs PyTorch.

Each product is compared with float64 in every row before it is timed.
"""

from __future__ import annotations

from typing import Any

from amssim.bench.gpu.accuracy import FLOAT16_ERROR, checked_error, exact_product
from amssim.bench.gpu.graphs import copies_of, graph_s, torch_or_error
from amssim.bench.operands import random_packed
from amssim.bench.timing import Call, Timer, wall_s
from amssim.errors import UnsupportedError
from amssim.scheme import Scheme
from cuda_kernels.matrix import Matrix

_FEWEST_PRODUCTS = 16  # launches in a graph
_HOST_LAUNCHES = 10  # timed together


class Layer:
    """Random packed weights in as many copies as cold timing needs.

    Args:
        scheme: the number format.
        rows, columns: of the weights.

    Raises:
        UnsupportedError: a scheme without a kernel form, which is slow for other reasons.
    """

    def __init__(self, scheme: Scheme, rows: int, columns: int):
        from numba import cuda

        packed = random_packed(scheme, rows, columns)
        self.scheme, self.shape = packed.scheme, packed.shape
        first = Matrix(packed.scheme, packed.shape, packed.words, packed.scales)
        if first.layout.form is None:
            raise UnsupportedError(f"{packed.scheme.name} has no kernel form to be timed in")
        self.nbytes = first.word_bytes
        others = [first.elsewhere() for _ in range(copies_of(self.nbytes) - 1)]
        self._copies = [first, *others]
        cuda.synchronize()

    def product_s(self, batch: int) -> tuple[float, float]:
        """Return (seconds, relative error) of the product with float16 x[batch, columns].

        Raises:
            MismatchError: the error is larger than float16 explains.
        """
        x, out = self._operands((batch,))
        error = self._error(x, out)
        copies, count = self._copies, len(self._copies)
        for matrix in copies:  # launch blocks are made outside the graph
            matrix.gemv(x, out)
        launches = max(count, _FEWEST_PRODUCTS)
        return graph_s(lambda i: copies[i % count].gemv(x, out), launches), error

    def dequantize_s(self) -> float:
        """Return the seconds of making the dense float16 weights."""
        torch = torch_or_error()
        out = torch.empty(self.shape, device="cuda", dtype=torch.float16)
        copies, count = self._copies, len(self._copies)
        for matrix in copies:
            matrix.dequantize("float16", out)
        return graph_s(lambda i: copies[i % count].dequantize("float16", out), count)

    def host_s(self) -> tuple[float, float]:
        """Return the host's seconds for a product, and of these for the driver's launch call."""
        matrix = self._copies[0]
        x, out = self._operands(())
        matrix.gemv(x, out)
        timer = Timer(_idle_gpu_s, repeats=50, budget_s=0)
        driver_call = matrix.launch_call(1)
        return timer.least_s(lambda: matrix.gemv(x, out)), timer.least_s(driver_call)

    def _operands(self, batch: tuple[int, ...]) -> tuple[Any, Any]:
        """Activations float16[*batch, columns], and room for float16[*batch, rows]."""
        torch = torch_or_error()
        half = {"device": "cuda", "dtype": torch.float16}
        rows, columns = self.shape
        return torch.randn(*batch, columns, **half), torch.empty(*batch, rows, **half)

    def _error(self, x: Any, out: Any) -> float:
        """Relative error of the product against float64, all rows."""
        matrix = self._copies[0]
        out.fill_(float("nan"))
        matrix.gemv(x, out)
        expected = exact_product(x, matrix.dequantize("float32", library="torch"))
        what = f"the product of {self.shape}"
        return checked_error(out, expected, accepted=FLOAT16_ERROR, what=what)


def _idle_gpu_s(call: Call) -> float:
    """Clock of the host: seconds of one of several calls that find the GPU idle."""
    torch_or_error().cuda.synchronize()

    def calls() -> None:
        for _ in range(_HOST_LAUNCHES):
            call()

    return wall_s(calls) / _HOST_LAUNCHES
