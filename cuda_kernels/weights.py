"""Weights in a kernel form on the GPU, with all that launches need to know of them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from amssim.launch.geometry import GEMM_BATCH
from amssim.scheme import Scheme
from cuda_kernels.arrays import address_of, room, to_device
from cuda_kernels.driver import gpu_of
from cuda_kernels.forms import Form, form_of
from cuda_kernels.forms import device as device_words
from cuda_kernels.gemv import block_scales
from cuda_kernels.kernel import KernelProblem

NONE = 0


class FormWeights:
    """A matrix in the words of a kernel form.

    Attributes:
        device: ordinal of its GPU.
        form, rows, columns: what it is.
        words, tails: of the form, on the GPU.
        scale_units: units that share stored scales, 0 for a scale per row.
        most_batch: rows of x that one launch takes.
        nbytes: on the GPU, without scales per row and bias.
    """

    def __init__(
        self, device: int, form: Form, shape: tuple[int, int], arrays: tuple[Any, Any, Any, Any],
        *, scale_units: int = 0, most_batch: int = GEMM_BATCH,
    ):  # fmt: skip
        self.device, self.form = device, form
        self.rows, self.columns = shape
        self.words, self.tails, self._scales, self._bias = arrays
        self.scale_units, self.most_batch = scale_units, most_batch

    @property
    def addresses(self) -> dict[str, int]:
        """Arguments of kernels, by name."""
        bias = NONE if self._bias is None else address_of(self._bias)
        arrays = {"weights": self.words, "tails": self.tails, "scales": self._scales}
        return {name: address_of(array) for name, array in arrays.items()} | {"bias": bias}

    def problem(self, batch: int) -> KernelProblem:
        """The product with so many rows of x."""
        return KernelProblem(self.form, self.rows, self.columns, batch, self.scale_units)

    @property
    def nbytes(self) -> int:
        """Bytes on the GPU of words, and of scales in an order of their own."""
        own = self._scales.nbytes if self.scale_units else 0
        return int(self.words.nbytes + self.tails.nbytes + own)

    def canonical(self, scheme: Scheme) -> Any:
        """Canonical words of ``scheme``, on the GPU."""
        shape = (self.rows, self.columns)
        return device_words.unpack_on_gpu(self.words, self.tails, scheme, self.form, shape)

    def elsewhere(self) -> FormWeights:
        """A copy of the words at another place on the GPU."""
        other = copy.copy(self)
        for name in ("words", "tails"):
            source = getattr(self, name)
            target = room(source.shape, source.dtype)
            target.copy_to_device(source)
            setattr(other, name, target)
        return other


def form_weights(
    device: int, scheme: Scheme, shape: tuple[int, int], canonical: Any, scales: np.ndarray,
    scale_block: int | None, rows_on_gpu: tuple[Any, Any],
) -> FormWeights | None:  # fmt: skip
    """Weights in the form that holds them; None where none does, or none with such scales.

    Args:
        device: ordinal of the GPU.
        scheme, shape: of the weights.
        canonical: words on the GPU, as stored.
        scales, scale_block: of the weights, on the CPU.
        rows_on_gpu: (scales, bias or None).
    """
    form = form_of(scheme)
    if form is None:
        return None
    scale_units, most_batch = 0, GEMM_BATCH
    scales_on_gpu, bias = rows_on_gpu
    if scale_block is not None:
        scale_units = block_scales.scale_units(form, scale_block)
        most_batch = scale_units and block_scales.most_batch(form, *shape, gpu_of(device))
        if not most_batch:
            return None
        scales_on_gpu = to_device(block_scales.in_kernel_order(scales, form, shape[1], scale_block))
    words, tails = device_words.pack_on_gpu(canonical, scheme, form, shape)
    arrays = (words, tails, scales_on_gpu, bias)
    return FormWeights(device, form, shape, arrays, scale_units=scale_units, most_batch=most_batch)
