"""What sweeps of bandwidth say: a latency, and how much of a working set a cache holds."""

from __future__ import annotations

import math

import numpy as np

from amssim.hardware import FIELDS

#: Residency is read off where a working set is neither in the cache nor out of it.
_PARTLY = (0.05, 0.8)
_SHARPNESS = 4.0


def latency_s(rates: dict[int, float], flights: dict[int, float], peak: float) -> float:
    """Return the latency that explains bandwidths below the peak, in seconds: Little's law.

    Inverts rate = peak / sqrt(1 + (peak latency / bytes in flight)^2) where it says most.

    Args:
        rates: bytes per second by occupancy.
        flights: bytes in flight by occupancy.
        peak: bytes per second.

    >>> rate = 4e12 / (1 + (4e12 * 6e-7 / 1e6) ** 2) ** 0.5
    >>> round(latency_s({1: rate}, {1: 1e6}, 4e12) * 1e9)
    600
    """
    key = min(rates, key=lambda occupancy: rates[occupancy])
    short = max((peak / rates[key]) ** 2 - 1, 1e-4)
    return flights[key] * math.sqrt(short) / peak


def residency(
    cached: dict[int, float], dram: float, l2: float, l2_bytes: int
) -> tuple[float, float, str]:
    """Return (bytes of which half still hit, sharpness of the curve, doubt) of an L2 sweep.

    A byte takes h / l2 + (1 - h) / dram, which gives the share h that hits; a straight line through
    log(1 / h - 1) over log(bytes) is the logistic curve of `equations.resident_share`.

    Args:
        cached: bytes per second by working set in bytes.
        dram, l2: bytes per second of both memories.
        l2_bytes: the cache's size, for when no working set is partly in it.

    >>> hit = {z: 1 / (1 + (z / 5e7) ** 6) for z in (40_000_000, 50_000_000, 60_000_000)}
    >>> rates = {z: 1 / (h / 1e13 + (1 - h) / 4e12) for z, h in hit.items()}
    >>> [round(x) for x in residency(rates, 4e12, 1e13, 60_000_000)[:2]]
    [50000000, 6]
    """
    hits = {z: (1 / dram - 1 / rate) / (1 / dram - 1 / l2) for z, rate in cached.items()}
    partly = {z: h for z, h in hits.items() if _PARTLY[0] < h < _PARTLY[1]}
    if len(partly) < 2:
        return float(l2_bytes), _SHARPNESS, "no working set of the sweep was partly resident"
    odds = [math.log(1 / h - 1) for h in partly.values()]
    slope, offset = np.polyfit([math.log(z) for z in partly], odds, 1)
    low, high = FIELDS["l2_sharpness"].low, FIELDS["l2_sharpness"].high
    return math.exp(-offset / slope), min(max(float(slope), low), high), ""
