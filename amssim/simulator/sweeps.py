"""Speedups over grids of bits, devices, shapes and batch sizes; a million points take a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amssim.errors import InputError
from amssim.hardware import Profile, names, profile
from amssim.simulator.inputs import (
    DEFAULT_SHAPE,
    MAX_BATCH,
    Bits,
    DeviceName,
    Question,
    check_bits,
    check_count,
    check_shape,
    question,
)
from amssim.simulator.many import seconds

_MAX_POINTS = 10**8


@dataclass(frozen=True)
class Sweep:
    """Arrays over (device, shape, batch, bits): seconds of both sides and their ratio."""

    devices: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    batches: tuple[int, ...]
    bits: tuple[float, ...]
    seconds: NDArray[np.float64]
    baseline_seconds: NDArray[np.float64]

    @property
    def speedup(self) -> NDArray[np.float64]:
        """float64[devices, shapes, batches, bits]: baseline over quantised time."""
        return self.baseline_seconds / self.seconds

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield every point as plain data, bits varying fastest."""
        speedup = self.speedup
        for at in np.ndindex(speedup.shape):
            yield {
                "gpu": self.devices[at[0]],
                "shape": list(self.shapes[at[1]]),
                "batch": self.batches[at[2]],
                "bits": self.bits[at[3]],
                "seconds": float(self.seconds[at]),
                "speedup": float(speedup[at]),
            }


def sweep(
    bits: Bits | Sequence[Bits] = 16 / 3,
    *,
    device: DeviceName | Sequence[DeviceName] = "h200",
    shape: tuple[int, int] | Sequence[tuple[int, int]] = DEFAULT_SHAPE,
    batch: int | Sequence[int] = 1,
    kernel: str | None = None,
    baseline: str | None = None,
    l2: str | float = "cold",
    graph: bool = True,
) -> Sweep:
    """Predict every combination of the given bits, devices, shapes and batch sizes.

    Args:
        bits, device, shape, batch: one value or a list of them, each as in `predict_speedup`; the
            word ``all`` for ``device`` means every GPU profile of the package.
        kernel, baseline, l2, graph: as in `predict_speedup`.

    Raises:
        InputError: as `predict_speedup`, for any element; an empty list; over 10^8 points.

    >>> table = sweep([4.25, 5.33], device=["h200", "l40s"], batch=[1, 8])
    >>> table.speedup.shape, bool((table.speedup > 1).all())
    ((2, 1, 2, 2), True)
    """
    widths = [check_bits(width) for width in _list(bits, "bits")]
    shapes = [check_shape(s) for s in _list(shape, "shape")]
    batches = [check_count(n, "batch", MAX_BATCH) for n in _list(batch, "batch")]
    devices = _devices(device)
    points = len(widths) * len(shapes) * len(batches) * len(devices)
    if points > _MAX_POINTS:
        raise InputError(f"a sweep of {points} points is too large, at most {_MAX_POINTS}")
    first, sizes = (shapes[0], batches[0]), (np.array(shapes), np.array(batches))
    quantized, base = [], []
    for known in devices:
        of = [question(b, known, *first, kernel, l2, graph) for b in widths]
        of_base = [question(None, known, *first, baseline, l2, graph)]
        quantized.append(_grid(of, *sizes, l2))
        base.append(_grid(of_base, *sizes, l2))
    return Sweep(
        devices=tuple(known.name for known in devices),
        shapes=tuple(shapes),
        batches=tuple(batches),
        bits=tuple(p.bits for p in of),
        seconds=np.stack(quantized),
        baseline_seconds=np.stack(base),
    )


def _grid(
    of: list[Question], shapes: np.ndarray, batches: np.ndarray, l2: str | float
) -> np.ndarray:
    """float64[shapes, batches, bits] seconds of one device and kernel.

    of: a problem for each of the bits; shapes: int[n, 2]; batches: int[m]
    """
    rows, columns = shapes.astype(np.float64).T[:, :, None, None]
    batch = batches.astype(np.float64)[:, None]
    width = np.array([p.bits for p in of])
    first = of[0]
    reuse = rows * columns * width / 8 if l2 == "hot" else first.reuse_bytes
    where = (first.profile, first.kernel)
    return seconds(*where, rows, columns, batch, width, reuse, graph=first.graph)


def _devices(device: object) -> list[Profile]:
    if isinstance(device, str) and device == "all":
        return [p for p in map(profile, names()) if p.kind == "gpu"]
    return [profile(name) for name in _list(device, "device")]


def _list(value: Any, name: str) -> list[Any]:
    """One value as a list of one; a shape is one value although it is a pair."""
    many = isinstance(value, list | range | np.ndarray)
    if many and len(value) == 0:
        raise InputError(f"{name} is an empty list, expected at least one value")
    return value.tolist() if isinstance(value, np.ndarray) else list(value) if many else [value]


def batch_crossover(bits: Bits = 16 / 3, *, limit: int = 64, **options: Any) -> int | None:
    """Return the smallest batch at which the baseline is at least as fast, or None up to ``limit``.

    Args:
        bits: as in `predict_speedup`.
        limit: largest batch to look at.
        options: ``device``, ``shape``, ``kernel``, ``baseline``, ``l2``, ``graph`` as there.

    >>> batch_crossover(4, kernel="trtllm_int4", device="h200", shape=(4096, 4096)) in range(2, 64)
    True
    """
    table = sweep(bits, batch=list(range(1, limit + 1)), **options)
    lost = np.flatnonzero(table.speedup.ravel() <= 1)
    return None if lost.size == 0 else int(lost[0]) + 1
