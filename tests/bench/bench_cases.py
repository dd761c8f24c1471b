"""Measurements made small enough to test."""

from amssim.bench.calibration import cpu as calibration
from amssim.bench.timing import Timer


def quick_calibration(monkeypatch) -> None:
    """Shrink the CPU measurement: what is tested is the way, not the figures."""
    monkeypatch.setattr(calibration, "_LARGE_BYTES", 2**23)
    monkeypatch.setattr(calibration, "_CHASED_BYTES", 2**20)
    monkeypatch.setattr(calibration, "_SWEEP_BYTES", [2**18, 2**20])
    monkeypatch.setattr(calibration, "_STEPS", 2**14)
    monkeypatch.setattr(calibration, "_TIMER", Timer(repeats=3, budget_s=0))
