"""Weights of one matrix on a GPU, in memory of their own: Numba's."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from cuda_kernels.arrays import address_of, room, to_device
from cuda_kernels.driver import on_device
from cuda_kernels.layouts import NONE, Addresses, KernelLayout
from cuda_kernels.pack.launch import to_canonical, to_kernel_order


class DeviceWeights:
    """The arrays of a matrix as its layout says.

    Args:
        layout: of the matrix.
        canonical, scales: on the CPU, as of a `PackedTensor`.
        bias: float32[rows] or None.

    Attributes:
        words, tails, scales, bias: Numba arrays on the GPU; None for what it does not have.
        addresses: of these.
    """

    def __init__(
        self, layout: KernelLayout, canonical: np.ndarray, scales: np.ndarray,
        bias: np.ndarray | None,
    ):  # fmt: skip
        self.layout, device = layout, layout.device
        self.words, self.tails = to_device(canonical, device), None
        self.scales = to_device(scales, device)
        self.bias = None if bias is None else to_device(bias, device)
        if layout.form is not None:
            stored = {"canonical": self.words, "scales": self.scales}
            self.words = room(layout.words.shape, layout.words.dtype, device)
            if layout.tails is not None:
                self.tails = room(layout.tails.shape, layout.tails.dtype, device)
            if layout.scale_units:
                self.scales = room(layout.scales.shape, layout.scales.dtype, device)
            to_kernel_order(layout, **stored, **self._arrays(), stream=0)
        self.addresses = self._addresses()

    def _arrays(self) -> dict[str, Any]:
        ordered = self.scales if self.layout.scale_units else None
        return {"words": self.words, "tails": self.tails, "ordered_scales": ordered}

    def _addresses(self) -> Addresses:
        several = (self.words, self.tails, self.scales, self.bias)
        return Addresses(*(NONE if array is None else address_of(array) for array in several))

    @property
    def nbytes(self) -> int:
        """Bytes on the GPU."""
        several = (self.words, self.tails, self.scales, self.bias)
        return sum(int(array.nbytes) for array in several if array is not None)

    def to_host(self) -> tuple[np.ndarray, np.ndarray]:
        """(words, scales) of the canonical layout on the CPU; padding comes back as zeros."""
        layout, words, scales = self.layout, self.words, self.scales
        if layout.form is not None:
            words = room(layout.canonical.shape, np.uint16, layout.device)
            if layout.scale_units:
                scales = room(layout.canonical_scales.shape, np.float32, layout.device)
            to_canonical(layout, words, scales, **self._arrays(), stream=0)
        with on_device(layout.device):
            return words.copy_to_host(), scales.copy_to_host()

    def elsewhere(self) -> DeviceWeights:
        """A copy of the words at another place on the GPU."""
        other = copy.copy(self)
        for name in ("words", "tails"):
            source = getattr(self, name)
            if source is not None:
                target = room(source.shape, source.dtype, self.layout.device)
                with on_device(self.layout.device):
                    target.copy_to_device(source)
                setattr(other, name, target)
        other.addresses = other._addresses()
        return other
