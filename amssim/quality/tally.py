"""What a way of restoring has cost so far, matrix by matrix."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from amssim.errors import InputError
from amssim.metrics import Metrics
from amssim.quality.output import OutputError


@dataclass(frozen=True)
class Layer:
    """A linear layer to restore.

    ``weights`` float32[rows, cols]; ``moments`` float32[cols, cols], E[x x^T] of its inputs, or
    None where nothing was calibrated.
    """

    name: str
    weights: np.ndarray
    moments: np.ndarray | None = None

    @property
    def importance(self) -> np.ndarray | None:
        """float32[cols] second moment of each input, or None."""
        return None if self.moments is None else np.diagonal(self.moments).astype(np.float32)


@dataclass
class Tally:
    """Sums over layers: weight error, output error where inputs are known, and stored bits."""

    metrics: Metrics = field(default_factory=Metrics)
    output: OutputError = field(default_factory=OutputError)
    stored_bits: Fraction = Fraction(0)
    layers_db: dict[str, float] = field(default_factory=dict)

    def add(self, layer: Layer, restored: np.ndarray, bits: Fraction) -> None:
        """Count ``layer`` as restored to float32[rows, cols] from ``bits`` per weight."""
        found = Metrics.of(layer.weights, restored)
        self.metrics += found
        self.stored_bits += bits * layer.weights.size
        self.layers_db[layer.name] = found.sqnr_db
        if layer.moments is not None:
            self.output += OutputError.of(layer.weights, restored, layer.moments)

    def check(self) -> None:
        """Raise `InputError` where nothing was counted, or only zeros."""
        if not self.metrics.count:
            raise InputError("no weights to measure: the source has no matrix")
        if not self.metrics.weight_squares:
            raise InputError("every weight is zero: there is no error to measure")

    @property
    def effective_bits(self) -> Fraction:
        """All stored bits per weight."""
        return self.stored_bits / self.metrics.count

    def as_dict(self) -> dict[str, float | int | None]:
        """Return bits and error figures by name, for JSON."""
        bits = {"effective_bits": float(self.effective_bits)}
        return bits | self.metrics.as_dict() | self.output.as_dict()
