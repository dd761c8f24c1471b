"""A model with one format per tensor, chosen under a budget of bits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from amssim.errors import InputError
from amssim.formats.base import Format
from amssim.formats.budget import Option, allocate
from amssim.quality.layers.layer import LinearLayer
from amssim.quality.output_noise import OutputNoise


@dataclass(frozen=True)
class PerTensor:
    """A recipe that looks the format of each layer up by the layer's name."""

    name: str
    formats: tuple[tuple[str, Format], ...]
    family: str = "AMS, extended"

    def restore(self, layer: LinearLayer) -> tuple[np.ndarray, Fraction]:
        """Quantise and dequantise.

        Raises:
            InputError: a layer that was not planned for.
        """
        chosen = dict(self.formats).get(layer.name)
        if chosen is None:
            raise InputError(
                f"no format is planned for {layer.name}: plan with the layers of the same model"
            )
        stored = chosen.quantize(layer.weights, layer.moments)
        return stored.dequantize(), stored.effective_bits


def allocate_formats(
    layers: Iterable[LinearLayer],
    formats: Sequence[Format],
    bits: Fraction,
    *,
    sensitivity: Mapping[str, float] | None = None,
) -> PerTensor:
    """Choose a format per layer so that the model has at most ``bits`` per weight.

    What is least is the sum over layers of sensitivity times ||(W - R) X||^2 / ||W X||^2, the
    share of noise in the layer's output; without second moments X is white. A sensitivity that is
    measured, see `amssim.quality.sensitivities`, makes that sum a prediction of the KL divergence.

    Args:
        layers: the weights, each read once.
        formats: to choose from, of different names.
        bits: average over all weights, scales included.
        sensitivity: of each layer by name; 1 where it is missing.

    Raises:
        InputError: no layer, or a budget that the smallest formats exceed.
    """
    options: dict[str, list[Option]] = {}
    weights, named = 0, {f.name: f for f in formats}
    for layer in layers:
        factor = (sensitivity or {}).get(layer.name, 1.0)
        options[layer.name] = [_option(layer, f, factor) for f in formats]
        weights += layer.weights.size
    choices = allocate(options, int(bits * weights)).choices
    chosen = tuple((layer, named[choice]) for layer, choice in choices.items())
    return PerTensor(f"per tensor at {float(bits):.4g} bits", chosen)


def _option(layer: LinearLayer, form: Format, factor: float) -> Option:
    stored = form.quantize(layer.weights, layer.moments)
    error = factor * noise_share(layer, stored.dequantize())
    return Option(form.name, int(stored.effective_bits * layer.weights.size), error)


def noise_share(layer: LinearLayer, restored: np.ndarray) -> float:
    """||(W - R) X||^2 / ||W X||^2 of a layer restored to R; X is white where it is unknown."""
    cols = layer.weights.shape[1]
    moments = np.eye(cols, dtype=np.float32) if layer.moments is None else layer.moments
    output = OutputNoise.of(layer.weights, restored, moments)
    return output.noise / output.signal if output.signal else 0.0
