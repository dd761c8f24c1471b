"""Launches of the plain kernels, for schemes and shapes that no kernel form serves."""

from typing import Any

import numpy as np

from amssim.scheme import Scheme
from cuda_kernels.arrays import Adopted, address_of
from cuda_kernels.driver import DriverLaunch
from cuda_kernels.forms.canonical import canonical_numbers, launch_quietly
from cuda_kernels.narrow import kernel as narrow
from cuda_kernels.plain import generic

LARGEST_GRID_Y = 65535


class Plain:
    """Canonical words on the GPU."""

    def __init__(
        self, device: int, scheme: Scheme, shape: tuple[int, int], words: Any, scales: Any,
        scale_block: int | None, bias: int,
    ):  # fmt: skip
        from numba import cuda

        self.device, self.shape, self.bias = device, shape, bias
        self.words, self.scales = words, scales
        self.scale_block = np.uint32(scale_block or shape[1])
        self.values = cuda.to_device(np.array(scheme.minifloat.values))
        self._numbers = canonical_numbers(scheme)
        self._tables: dict[str, Any] = {}

    def canonical(self, scheme: Scheme) -> Any:
        """Canonical words of ``scheme``, on the GPU, as they came."""
        return self.words

    @property
    def nbytes(self) -> int:
        """Bytes of these words."""
        return int(self.words.nbytes)

    def multiply(self, x: Adopted, out: Adopted, batch: int, stream: int) -> None:
        """out[batch, rows] = x[batch, columns] times the weights, plus bias."""
        from numba import cuda

        rows, columns = self.shape
        queue = cuda.external_stream(stream)
        wide = cuda.device_array((batch, columns), np.float32, stream=queue)
        sums = cuda.device_array((batch, rows), np.float32, stream=queue)
        grid = (-(-columns // narrow.THREADS), batch)
        bits, table = view(x, "<u2"), self._table(x.dtype)
        launch_quietly(generic.widen_rows, grid, narrow.THREADS, queue, bits, table, wide)
        arguments = (wide, sums, np.uint32(columns), self.scale_block, self._numbers)
        weights = (self.words, self.scales, self.values)
        blocks = (rows, batch)
        launch_quietly(generic.plain_gemv, blocks, generic.THREADS, queue, *weights, *arguments)
        self._narrow(sums, self.bias, out, (batch, rows), stream)

    def write(self, out: Adopted, stream: int) -> None:
        """Dense weights, row panels of at most `LARGEST_GRID_Y`."""
        from numba import cuda

        rows, columns = self.shape
        queue, size = cuda.external_stream(stream), 4 if out.dtype == "float32" else 2
        for first in range(0, rows, LARGEST_GRID_Y):
            count = min(LARGEST_GRID_Y, rows - first)
            dense = cuda.device_array((count, columns), np.float32, stream=queue)
            part, grid = slice(first, first + count), (-(-columns // narrow.THREADS), count)
            weights = (self.words[part], self.scales[part], self.values)
            sizes = (np.uint32(columns), self.scale_block, self._numbers)
            launch_quietly(
                generic.plain_dequantize, grid, narrow.THREADS, queue, *weights, dense, *sizes
            )
            panel = Adopted(out.address + first * columns * size, out.dtype, (), out.library)
            self._narrow(dense, 0, panel, (count, columns), stream)

    def _narrow(
        self, source: Any, bias: int, out: Adopted, shape: tuple[int, int], stream: int
    ) -> None:
        function = narrow.KERNEL.function(self.device, (narrow.THREADS, 1), out.dtype)
        grid = (-(-shape[1] // narrow.THREADS), shape[0])
        given = {
            "source": address_of(source),
            "bias": bias,
            "out": out.address,
            "columns": shape[1],
        }
        DriverLaunch(function, grid, narrow.THREADS, arguments=given, changing=())(stream)

    def _table(self, dtype: str) -> Any:
        """float32 of every 16-bit pattern, on the GPU."""
        from numba import cuda

        if dtype not in self._tables:
            patterns = np.arange(2**16, dtype=np.uint32)
            half = patterns.astype(np.uint16).view(np.float16).astype(np.float32)
            wide = half if dtype == "float16" else (patterns << 16).view(np.float32)
            self._tables[dtype] = cuda.to_device(wide)
        return self._tables[dtype]


def view(array: Adopted, typestr: str) -> Any:
    """A Numba array over the same memory, two-dimensional."""
    from numba import cuda

    shape = array.shape if len(array.shape) == 2 else (1, *array.shape)
    return cuda.from_cuda_array_interface(
        {"shape": shape, "typestr": typestr, "data": (array.address, False), "version": 2}
    )
