"""Fits the few residual parameters of a kernel variant to measured latencies.

Structure (tiles, instruction counts, traffic) is given; what is fitted is named, bounded and few.
The loss is soft-L1 on log(predicted / measured), so that one outlier or one large layer does not
decide, and factors of two weigh the same in both directions.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import numpy as np

from amssim.simulator.compiled import latencies
from amssim.simulator.quantities import DeviceNumbers, KernelNumbers

SOFT_L1_SCALE = 0.05
_STARTS = 6
#: Start and bounds of every parameter that may be fitted. Fits run over their logarithms.
BOUNDS = {
    "inflight_bytes": (40e3, 500.0, 400e3),
    "inflight_share": (0.3, 0.01, 2.0),
    "issue": (2.0, 0.2, 20.0),
    "issue_per_batch": (0.5, 0.005, 6.0),
    "issue_per_x": (5.0, 0.5, 50.0),
    "fixed_s": (1e-6, 1e-8, 20e-6),
    "wave_s": (3e-7, 1e-8, 5e-6),
    "loop_s": (1e-6, 1e-8, 30e-6),
    "stage_s": (2e-7, 1e-9, 2e-6),
    "reduce_s": (1.5e-6, 1e-8, 10e-6),
    "efficiency": (0.97, 0.5, 1.1),
    "overlap": (4.0, 1.0, 20.0),
    "tail": (0.3, 0.01, 1.0),
}


class Measurements(NamedTuple):
    """Arrays of one length: problems, and the seconds that were measured."""

    rows: np.ndarray
    columns: np.ndarray
    batch: np.ndarray
    bits: np.ndarray
    reuse_bytes: np.ndarray
    seconds: np.ndarray

    def where(self, chosen: np.ndarray) -> Measurements:
        """Return the chosen ones."""
        return Measurements(*(a[chosen] for a in self))


class FitGroup(NamedTuple):
    """Measurements that share one device and one kernel structure."""

    device: DeviceNumbers
    kernel: KernelNumbers
    measured: Measurements
    weight: float = 1.0  # of each measurement


class Fit(NamedTuple):
    """Fitted parameters by name, and the loss they end with."""

    parameters: dict[str, float]
    loss: float


def held_out(rows: Iterable[int], columns: Iterable[int]) -> np.ndarray:
    """Say which shapes are never fitted: every second one in order of size.

    >>> held_out([4096, 28672, 4096, 8192], [4096, 4096, 4096, 8192]).tolist()
    [False, False, False, True]
    """
    shapes = list(zip(map(int, rows), map(int, columns), strict=True))
    in_order = sorted(set(shapes), key=lambda shape: (shape[0] * shape[1], shape))
    unseen = set(in_order[1::2])
    return np.array([shape in unseen for shape in shapes], dtype=bool)


def predicted_s(group: FitGroup, parameters: dict[str, float]) -> np.ndarray:
    """Return the seconds the model gives for the problems of a group."""
    return latencies(group.device, group.kernel._replace(**parameters), *group.measured[:-1])


def soft_l1(weights: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """float64[3, n]: weights (2 sqrt(1 + z) - 2) and its derivatives, as `least_squares` asks.

    >>> soft_l1(np.array([2.0]), np.array([3.0])).ravel().tolist()
    [4.0, 1.0, -0.125]
    """
    root = np.sqrt(1 + squares)
    derivatives: np.ndarray = weights * np.stack([2 * root - 2, 1 / root, -0.5 / root**3])
    return derivatives


def fit(groups: list[FitGroup], free: list[str]) -> Fit:
    """Return the parameters named in ``free`` that suit all groups, best of several starts."""
    from scipy.optimize import least_squares

    start, low, high = (np.log([BOUNDS[name][i] for name in free]) for i in range(3))

    def residuals(logs: np.ndarray) -> np.ndarray:
        parameters = dict(zip(free, np.exp(logs).tolist(), strict=True))
        return np.concatenate(
            [np.log(predicted_s(g, parameters) / g.measured.seconds) for g in groups]
        )

    weights = np.concatenate([np.full(g.measured.rows.size, g.weight) for g in groups])
    rng = np.random.default_rng(0)
    spread = [start] + [low + (high - low) * rng.random(len(free)) for _ in range(_STARTS - 1)]
    options = {"bounds": (low, high), "loss": partial(soft_l1, weights), "f_scale": SOFT_L1_SCALE}
    results = [least_squares(residuals, x, diff_step=1e-3, **options) for x in spread]
    best = min(results, key=lambda result: result.cost)
    return Fit(dict(zip(free, np.exp(best.x).tolist(), strict=True)), float(best.cost))
