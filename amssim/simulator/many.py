"""Latencies of many problems at once: picks variants and instruction counts, then runs compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from amssim.hardware import Profile
from amssim.simulator.compiled import latencies
from amssim.simulator.descriptor import Descriptor, Variant, device
from amssim.simulator.equations import Kernel


def seconds(
    profile: Profile,
    descriptor: Descriptor,
    rows: np.ndarray,
    columns: np.ndarray,
    batch: np.ndarray,
    bits: np.ndarray,
    reuse_bytes: np.ndarray | float,
    *,
    graph: bool = True,
    kernel_of: Callable[[Variant, float], Kernel] | None = None,
) -> np.ndarray:
    """Return float64 seconds of many problems on one device with one kernel family.

    Args:
        profile, descriptor: the device and the kernel family.
        rows, columns, batch, bits, reuse_bytes: arrays that broadcast, as `equations.Load`.
        graph: launched from a graph, or one by one.
        kernel_of: gives other numbers than the shipped ones for (variant, bits).
    """
    kernel_of = kernel_of or (lambda variant, b: variant.kernel(profile, b))
    arrays = np.broadcast_arrays(rows, columns, batch, bits, reuse_bytes)
    flat = [np.asarray(a, dtype=np.float64).ravel() for a in arrays]
    numbers = device(profile, graph)
    out = np.empty(flat[0].size)
    for variant, of_variant in _by_variant(descriptor, flat[2]):
        for some_bits, chosen in _by_counts(variant, flat[3], of_variant):
            kernel = kernel_of(variant, some_bits)
            out[chosen] = latencies(numbers, kernel, *(a[chosen] for a in flat))
    return out.reshape(arrays[0].shape)


def _by_variant(descriptor: Descriptor, batch: np.ndarray) -> Iterator[tuple[Variant, np.ndarray]]:
    """Yield each variant with the mask of the problems it runs."""
    limits = [v.max_batch for v in descriptor.variants[:-1]]
    index = np.searchsorted(limits, batch)
    for i, variant in enumerate(descriptor.variants):
        if (index == i).any():
            yield variant, index == i


def _by_counts(
    variant: Variant, bits: np.ndarray, chosen: np.ndarray
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield a bit width and the mask of the problems that share its instruction counts."""
    widths, index = np.unique(bits, return_inverse=True)
    keys = [tuple(sorted(variant.counts(b)[0].items())) for b in widths.tolist()]
    for key in dict.fromkeys(keys):
        same = np.array([k == key for k in keys])[index] & chosen
        if same.any():
            yield float(bits[same][0]), same
