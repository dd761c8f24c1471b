"""Measurements made small enough to test."""

from amssim.bench.calibration import cpu as calibration
from amssim.bench.timing import Timer


class FixedTimer:
    """Makes a call once and says that it took ``seconds``."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def least_s(self, call) -> float:
        call()
        return self.seconds


def quick_calibration(monkeypatch, timer=None) -> None:
    """Shrink the CPU measurement: what is tested is the way, not the figures.

    ``timer`` is one whose figures are possible, unless another is given.
    """
    monkeypatch.setattr(calibration, "_LARGE_BYTES", 2**23)
    monkeypatch.setattr(calibration, "_CHASED_BYTES", 2**20)
    monkeypatch.setattr(calibration, "_SWEEP_BYTES", [2**18, 2**20])
    monkeypatch.setattr(calibration, "_STEPS", 2**14)
    monkeypatch.setattr(calibration, "_TIMER", timer or FixedTimer(1e-4))


#: Measures, often enough that a busy machine is seen idle once.
PATIENT = Timer(repeats=100, budget_s=0)
