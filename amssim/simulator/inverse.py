"""The questions turned round: bits for a target speedup, instructions that a kernel may spend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

from amssim.errors import InputError
from amssim.scheme import Scheme, schemes
from amssim.simulator import equations
from amssim.simulator.descriptors import device_numbers
from amssim.simulator.inputs import DEFAULT_SHAPE, Bits, DeviceName, Question, question
from amssim.simulator.predict import predict_speedup
from amssim.simulator.results import Speedup, indented

_BISECTIONS = 40


@dataclass(frozen=True)
class RequiredBits:
    """The most bits per weight that still reach a target speedup. ``float()`` gives them."""

    target: float
    bits: float
    speedup: Speedup

    @property
    def scheme(self) -> Scheme | None:
        """The preset with the most bits that is no wider, if there is one."""
        return next((s for s in schemes() if s.bits <= self.bits), None)

    def __float__(self) -> float:
        return self.bits

    def __str__(self) -> str:
        preset = f"; the next preset is {self.scheme.name}" if self.scheme else ""
        return f"{self.bits:.2f} bits per weight for {self.target:g}x{preset}\n{self.speedup}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for `json.dump`."""
        scheme = self.scheme.name if self.scheme else None
        answer = {"target": self.target, "bits": self.bits, "scheme": scheme}
        return answer | {"prediction": self.speedup.as_dict()}


def bits_for_speedup(target: float, **options: Any) -> RequiredBits:
    """Return the most bits per weight with which the predicted speedup reaches ``target``.

    Args:
        target: baseline time over quantised time, positive.
        options: everything but ``bits`` of `predict_speedup`.

    Raises:
        InputError: a target that is not a positive number, or that one bit does not reach.

    >>> answer = bits_for_speedup(2.0, shape=(57344, 8192))
    >>> 4 < float(answer) < 12, answer.scheme in schemes()
    (True, True)
    """
    real = isinstance(target, Real) and not isinstance(target, bool)
    if not real or not math.isfinite(target) or target <= 0:
        raise InputError(f"target is {target!r}, expected a positive speedup such as 2.5")
    low, high = 1.0, 16.0
    if float(most := predict_speedup(high, **options)) >= target:
        return RequiredBits(float(target), high, most)
    least = predict_speedup(low, **options)
    if float(least) < target:
        raise InputError(
            f"no bit width reaches {target:g}x: one bit per weight gives {float(least):.2f}x, "
            f"bound by {least.quantized.binding}"
        )
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        reached = float(predict_speedup(middle, **options)) >= target
        low, high = (middle, high) if reached else (low, middle)
    return RequiredBits(float(target), low, predict_speedup(low, **options))


@dataclass(frozen=True)
class Budget:
    """Lane-instructions per weight that fit into the time its bits take from DRAM."""

    question: Question
    allowed: dict[str, float]
    spent: dict[str, float]

    @property
    def fits(self) -> bool:
        """Whether the kernel stays memory-bound."""
        return all(self.spent[pipe] <= self.allowed[pipe] for pipe in self.allowed)

    def __str__(self) -> str:
        p = self.question
        verdict = "stays memory-bound" if self.fits else "is limited by instructions"
        head = (
            f"{p.kernel.name} {verdict} at {p.bits:.4g} bits and batch {p.batch} "
            f"on {p.profile.title} (instructions per weight)"
        )
        lines = [indented(head, "")]
        lines += [
            f"  {pipe:6} {self.spent[pipe]:6.2f} of {allowed:6.2f}"
            for pipe, allowed in self.allowed.items()
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for `json.dump`."""
        p = self.question.as_dict()
        return {**p, "allowed": self.allowed, "spent": self.spent, "fits": self.fits}


def instruction_budget(
    bits: Bits = 16 / 3,
    *,
    device: DeviceName = "h200",
    batch: int = 1,
    kernel: str | None = None,
) -> Budget:
    """Return how many instructions per weight each pipe has time for, and what a kernel spends.

    The weights of one second, DRAM rate * 8 / bits, meet lanes * SMs * clock of each pipe.

    Args:
        bits, device, batch, kernel: as in `predict_latency`; the layer is the one it defaults to.

    Raises:
        InputError: as `predict_latency`.

    >>> budget = instruction_budget(5.33, device="h200")
    >>> round(budget.allowed["alu"], 1), budget.fits
    (2.3, True)
    """
    p = question(bits, device, DEFAULT_SHAPE, batch, kernel, "cold", True)
    numbers = p.kernel.chosen(p.profile, p.load).kernel(p.profile, p.bits)
    lanes = device_numbers(p.profile)
    cut = equations.cut_of(lanes, numbers, p.load, 1.0)
    weights_per_s = lanes.dram_bytes_per_s * 8 / p.bits
    per_lane = lanes.sms * lanes.clock_hz / weights_per_s
    allowed = {
        "issue": lanes.issue_lanes * per_lane,
        "alu": lanes.alu_lanes * per_lane,
        "imad": lanes.imad_lanes * per_lane,
        "half": lanes.half_lanes * per_lane,
    }
    spent = {pipe: getattr(numbers, pipe) for pipe in allowed}
    spent["issue"] += numbers.issue_per_batch * cut.columns
    spent["issue"] += numbers.issue_per_x * cut.elements / cut.weights
    if numbers.mma_batch:
        tensor_s = equations.tensor_s(lanes, numbers, cut) / cut.weights
        allowed["mma"], spent["mma"] = 1.0, tensor_s * weights_per_s / lanes.sms
    return Budget(p, allowed, spent)
