"""Latencies of many problems at once: picks variants and instruction counts, then runs compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from amssim.hardware import Profile
from amssim.launch.geometry import KERNELS
from amssim.simulator.compiled import latencies, planned_latencies
from amssim.simulator.descriptors import Descriptor, Variant, device_numbers
from amssim.simulator.quantities import KernelNumbers


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
    kernel_of: Callable[[Variant, float], KernelNumbers] | None = None,
) -> np.ndarray:
    """Return float64 seconds of many problems on one device with one kernel family.

    Args:
        profile, descriptor: the device and the kernel family.
        rows, columns, batch, bits, reuse_bytes: arrays that broadcast, as `quantities.Load`.
        graph: launched from a graph, or one by one.
        kernel_of: gives other numbers than the shipped ones for (variant, bits).
    """
    kernel_of = kernel_of or (lambda variant, b: variant.kernel(profile, b))
    arrays = np.broadcast_arrays(rows, columns, batch, bits, reuse_bytes)
    flat = [np.asarray(a, dtype=np.float64).ravel() for a in arrays]
    numbers = device_numbers(profile, graph=graph)
    out = np.empty(flat[0].size)
    for width, here in _by_counts(descriptor, flat[3]):
        part = [a[here] for a in flat]
        planned = _planned(descriptor, width)
        if planned:
            of_ours = tuple(kernel_of(variant, width) for variant in planned)
            out[here] = planned_latencies(numbers, of_ours, *part)[0]
            continue
        times = np.empty(part[0].size)
        for variant, chosen in _by_batch(descriptor, width, part[2]):
            kernel = kernel_of(variant, width)
            times[chosen] = latencies(numbers, kernel, *(a[chosen] for a in part))
        out[here] = times
    return out.reshape(arrays[0].shape)


def by_variant(
    profile: Profile,
    descriptor: Descriptor,
    rows: np.ndarray,
    columns: np.ndarray,
    batch: np.ndarray,
    bits: np.ndarray,
) -> Iterator[tuple[Variant, float, np.ndarray]]:
    """Yield variant, a bit width and the mask of the problems that share it and its counts.

    Args:
        profile, descriptor: the device and the kernel family.
        rows, columns, batch, bits: float64 arrays of one length.
    """
    for width, here in _by_counts(descriptor, bits):
        planned = _planned(descriptor, width)
        if planned:
            of_ours = tuple(variant.kernel(profile, width) for variant in planned)
            sizes = (rows, columns, batch, bits, np.inf)
            which = planned_latencies(device_numbers(profile), of_ours, *sizes)[1]
            parts = [(variant, which == variant.planned) for variant in planned]
        else:
            parts = _by_batch(descriptor, width, batch)
        for variant, chosen in parts:
            if (chosen & here).any():
                yield variant, width, chosen & here


def _by_counts(descriptor: Descriptor, bits: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
    """Yield a bit width and the mask of all that share its variants and instruction counts."""
    widths, width_at = np.unique(bits, return_inverse=True)
    same: dict[tuple[Any, ...], list[int]] = {}
    for i, width in enumerate(widths.tolist()):
        first = descriptor.variant(width, 1)
        key = (first.name, tuple(sorted(first.counts(width)[0].items())))
        same.setdefault(key, []).append(i)
    for members in same.values():
        yield float(widths[members[0]]), np.isin(np.arange(widths.size), members)[width_at]


def _planned(descriptor: Descriptor, width: float) -> list[Variant]:
    """Return the variants for a bit width that our launch plan chooses from, by their numbers.

    Of other families the batch decides, and the list is empty.
    """
    if not descriptor.variant(width, 1).planned:
        return []
    return [descriptor.variant(width, 1, planned=number) for number in KERNELS]


def _by_batch(
    descriptor: Descriptor, width: float, batch: np.ndarray
) -> list[tuple[Variant, np.ndarray]]:
    """Return each variant with the mask of the batches that it serves."""
    sizes, size_at = np.unique(batch, return_inverse=True)
    names = np.array([descriptor.variant(width, size).name for size in sizes.tolist()])
    return [(v, (names == v.name)[size_at]) for v in descriptor.variants]
