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
    for variant, some_bits, chosen in _by_variant(descriptor, flat[2], flat[3]):
        kernel = kernel_of(variant, some_bits)
        out[chosen] = latencies(numbers, kernel, *(a[chosen] for a in flat))
    return out.reshape(arrays[0].shape)


def _by_variant(
    descriptor: Descriptor, batch: np.ndarray, bits: np.ndarray
) -> Iterator[tuple[Variant, float, np.ndarray]]:
    """Yield variant, a bit width and the mask of the problems that share it and its counts."""
    widths, width_at = np.unique(bits, return_inverse=True)
    batches, batch_at = np.unique(batch, return_inverse=True)
    found: dict[tuple, np.ndarray] = {}
    for i, width in enumerate(widths.tolist()):
        for j, columns in enumerate(batches.tolist()):
            variant = descriptor.variant(columns, width)
            key = (variant.name, tuple(sorted(variant.counts(width)[0].items())))
            table = found.setdefault(key, np.zeros((widths.size, batches.size), dtype=bool))
            table[i, j] = True
    for table in found.values():
        chosen = table[width_at, batch_at]
        if chosen.any():
            first = int(np.argmax(chosen))
            width = float(bits[first])
            yield descriptor.variant(float(batch[first]), width), width, chosen
