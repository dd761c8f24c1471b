"""What predictions return: numbers that print with their reasons."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amssim.simulator.descriptors import Variant
from amssim.simulator.inputs import Question
from amssim.simulator.quantities import Terms

#: How the terms of the body are called when they bind.
RESOURCES = {
    "dram": "DRAM bandwidth",
    "l2": "L2 bandwidth",
    "instructions": "instruction throughput",
    "tensor": "tensor cores",
}
OVERHEAD = "launch and fixed costs"


@dataclass(frozen=True)
class Latency:
    """Predicted seconds of one product, with what they are made of. ``float()`` gives seconds.

    ``relative_error`` bounds nine of ten measurements as far as is known; ``terms`` are seconds.
    """

    question: Question
    variant: Variant
    terms: Terms
    relative_error: float
    warnings: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Predicted duration."""
        return self.terms.total

    @property
    def interval(self) -> tuple[float, float]:
        """Seconds between which nine of ten measurements should lie."""
        return self.seconds / (1 + self.relative_error), self.seconds * (1 + self.relative_error)

    @cached_property
    def breakdown(self) -> dict[str, float]:
        """Seconds that add up to `seconds`; the body is shared by the resources at work in it."""
        t = self.terms
        resources = {name: getattr(t, name) for name in RESOURCES}
        busy = sum(resources.values())
        body = {name: t.body * s / busy for name, s in resources.items()}
        costs = {"launch": t.launch, "fill": t.fill, "fixed": t.fixed + t.waves + t.loop}
        return body | costs | {"reduce": t.reduce}

    @property
    def binding(self) -> str:
        """The term that costs most, in words."""
        t = self.terms
        overhead = self.seconds - t.body
        name = max(RESOURCES, key=lambda resource: getattr(t, resource))
        return OVERHEAD if overhead > t.body else RESOURCES[name]

    @property
    def bytes_per_s(self) -> float:
        """Packed weights over the predicted time."""
        return self.question.weight_bytes / self.seconds

    def __float__(self) -> float:
        return self.seconds

    def __str__(self) -> str:
        p, (low, high) = self.question, self.interval
        parts = ", ".join(f"{k} {v * 1e6:.2f}" for k, v in self.breakdown.items() if v >= 5e-9)
        lines = [
            f"{self.seconds * 1e6:.2f} us ({low * 1e6:.2f} to {high * 1e6:.2f}), "
            f"bound by {self.binding}, {self.bytes_per_s / 1e12:.2f} TB/s of weights",
            indented(f"{describe(p)}, {p.kernel.name} ({self.variant.name})"),
            f"  us: {parts}",
        ]
        return "\n".join(lines + [indented(w, "  ! ") for w in self.warnings])

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for `json.dump`, times in seconds."""
        return {
            **self.question.as_dict(),
            "seconds": self.seconds,
            "interval": list(self.interval),
            "binding": self.binding,
            "breakdown": self.breakdown,
            "variant": self.variant.name,
            "split": int(self.terms.split),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Speedup:
    """Baseline time over quantised time. ``float()`` gives the ratio.

    >>> from amssim.simulator import predict_speedup
    >>> result = predict_speedup(bits=5.33)
    >>> 2 < float(result) < 3.2, result.quantized.question.rows
    (True, 28672)
    """

    quantized: Latency
    baseline: Latency
    relative_error: float
    warnings: tuple[str, ...]

    @property
    def value(self) -> float:
        """The ratio."""
        return self.baseline.seconds / self.quantized.seconds

    @property
    def interval(self) -> tuple[float, float]:
        """Ratios between which nine of ten measurements should lie."""
        return self.value / (1 + self.relative_error), self.value * (1 + self.relative_error)

    @property
    def ideal(self) -> float:
        """The ratio of bits, which nothing but a kernel without any cost reaches."""
        return self.baseline.question.bits / self.quantized.question.bits

    def __float__(self) -> float:
        return self.value

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if spec else str(self)

    def __str__(self) -> str:
        q, b, (low, high) = self.quantized, self.baseline, self.interval
        lines = [
            f"{self.value:.2f}x ({low:.2f} to {high:.2f}); "
            f"the bits alone would give {self.ideal:.2f}x",
            indented(describe(q.question)),
            _side(q),
            _side(b),
        ]
        return "\n".join(lines + [indented(w, "  ! ") for w in self.warnings])

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for `json.dump`, times in seconds."""
        return {
            "speedup": self.value,
            "interval": list(self.interval),
            "ideal": self.ideal,
            "quantized": self.quantized.as_dict(),
            "baseline": self.baseline.as_dict(),
            "warnings": list(self.warnings),
        }


def indented(text: str, mark: str = "  ") -> str:
    """Return text in lines of at most 80 columns, all but the mark of the first indented."""
    return textwrap.fill(text, 80, initial_indent=mark, subsequent_indent="    ")


def describe(p: Question) -> str:
    """Return the problem in one line."""
    l2 = p.as_dict()["l2"]
    cache = f"L2 {l2}" if isinstance(l2, str) else f"{l2 / 1e6:.1f} MB between uses"
    launch = "CUDA graph" if p.graph else "stream launches"
    where = f", {cache}, {launch}" if p.profile.kind == "gpu" else f", {cache}"
    return f"{p.bits:.4g} bits, {p.rows} x {p.columns}, batch {p.batch}, {p.profile.title}{where}"


def _side(side: Latency) -> str:
    name = f"{side.question.kernel.name}, {side.question.bits:.4g} bits"
    return f"  {name:28} {side.seconds * 1e6:9.2f} us, bound by {side.binding}"
