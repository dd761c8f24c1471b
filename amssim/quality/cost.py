"""What quantisation has cost over the layers so far: bits, error of weights and of outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from amssim.errors import InputError
from amssim.metrics import Metrics
from amssim.quality.layers.layer import LinearLayer
from amssim.quality.output_noise import OutputNoise
from amssim.quality.record import QualityRecord


@dataclass
class QuantizationCost:
    """Sums over layers: weight error, output noise where moments are known, and stored bits."""

    metrics: Metrics = field(default_factory=Metrics)
    output: OutputNoise = field(default_factory=OutputNoise)
    stored_bits: Fraction = Fraction(0)
    layers_db: dict[str, float] = field(default_factory=dict)

    def add(self, layer: LinearLayer, restored: np.ndarray, bits: Fraction) -> None:
        """Count ``layer`` as restored to float32[rows, cols] from ``bits`` per weight."""
        metrics = Metrics.of(layer.weights, restored)
        self.metrics += metrics
        self.stored_bits += bits * layer.weights.size
        self.layers_db[layer.name] = metrics.sqnr_db
        if layer.moments is not None:
            self.output += OutputNoise.of(layer.weights, restored, layer.moments)

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

    def as_dict(self) -> QualityRecord:
        """Return bits and error figures by name, for JSON."""
        bits: QualityRecord = {"effective_bits": float(self.effective_bits)}
        return bits | self.metrics.as_dict() | self.output.as_dict()
