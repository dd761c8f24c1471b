"""Dense weights made on the GPU, and the library's own product with them."""

from __future__ import annotations

from typing import Any

from amssim.errors import InputError
from amssim.launch.geometry import starts_early
from amssim.scheme import Scheme
from cuda_kernels.arrays import Adopted
from cuda_kernels.dense.kernel import KERNEL, RESIDENT, WARPS, blocks_of, run_bytes
from cuda_kernels.driver import DriverLaunch, gpu_of
from cuda_kernels.weights import FormWeights


class DenseWeights:
    """The launches that make dense weights of one matrix, a launch for each dtype."""

    nbytes = 0  # on the GPU, of weights kept for this alone

    def __init__(self, weights: FormWeights):
        self._weights = weights
        self._launches: dict[str, DriverLaunch] = {}

    def canonical(self, scheme: Scheme) -> Any:
        """Canonical words of ``scheme``, on the GPU."""
        return self._weights.canonical(scheme)

    def write(self, out: Adopted, stream: int) -> None:
        """out[rows, columns] = the weights, each rounded to float32 and then to out's dtype.

        Raises:
            InputError: out does not begin at a multiple of 16 bytes.
        """
        if out.address % 16:
            raise InputError("out must begin at a multiple of 16 bytes: pass a whole tensor")
        if out.dtype not in self._launches:
            self._launches[out.dtype] = self._made(out.dtype)
        self._launches[out.dtype](stream, out.address)

    def _made(self, dtype: str) -> DriverLaunch:
        weights, form = self._weights, self._weights.form
        early = starts_early(gpu_of(weights.device))
        sizes = weights.problem(1).sizes
        names = ("rows", "units", "row_tiles")
        addresses = {n: a for n, a in weights.addresses.items() if n != "bias"}
        return DriverLaunch(
            KERNEL.function(weights.device, (32 * WARPS, RESIDENT), form, dtype, early=early),
            (blocks_of(form, weights.rows, weights.columns, WARPS), 1),
            32 * WARPS,
            arguments={n: sizes[n] for n in names} | {"columns": weights.columns} | addresses,
            changing=("out",),
            shared_bytes=WARPS * 16 * run_bytes(form, dtype),
            early=early,
        )


def multiply_dense(x: Any, out: Any, weights: Any, bias: Any, library: str) -> None:
    """out = x W^T + bias by the library's own product.

    Args:
        x, out: arrays of ``library``, [batch, columns] and [batch, rows].
        weights: dense, of the same library.
        bias: a Numba array on the GPU, or None.
        library: "torch" or "cupy".
    """
    if library == "torch":
        import torch

        product = torch.mm(x, weights.t())
        if bias is not None:
            product = product + torch.as_tensor(bias, device="cuda")
        out.copy_(product)
        return
    product = x @ weights.T
    if bias is not None:
        import cupy

        product = product + cupy.asarray(bias)
    out[...] = product
