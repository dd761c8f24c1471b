"""A language model under several recipes: perplexity, KL divergence, weight and output error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from amssim.error.lm.llama import Llama
from amssim.error.lm.load import linear_weights
from amssim.error.lm.score import Score, score
from amssim.error.metrics import Metrics
from amssim.error.output import OutputError
from amssim.error.recipe import Layer, Recipe
from amssim.error.sources import check_matrix


@dataclass(frozen=True)
class Restored:
    """A model whose linear layers went through a recipe, and what that cost."""

    model: Llama
    effective_bits: Fraction
    layers: Mapping[str, Metrics]
    output: OutputError

    def as_dict(self) -> dict[str, float | None]:
        """Bits per quantised weight and the error figures, for JSON."""
        total = Metrics.total(self.layers).as_dict()
        return {"effective_bits": float(self.effective_bits)} | total | self.output.as_dict()


def restored_model(
    model: Llama, recipe: Recipe, moments: Mapping[str, np.ndarray] | None = None
) -> Restored:
    """Put every linear layer of ``model`` through ``recipe``; embeddings and head stay.

    Args:
        model: with float32 weights.
        recipe: what to do.
        moments: second moments of the layers' inputs by weight name.
    """
    changed, layers, output, stored = {}, {}, OutputError(), Fraction(0)
    for layer in _layers(model, moments or {}):
        restored, bits = recipe.restore(layer)
        stored += bits * layer.weights.size
        layers[layer.name] = Metrics.of(layer.weights, restored)
        if layer.moments is not None:
            output += OutputError.of(layer.weights, restored, layer.moments)
        changed[layer.name] = model.backend.array(restored)
    count = sum(m.count for m in layers.values())
    return Restored(model.with_weights(changed), stored / count, layers, output)


def evaluate(
    model: Llama,
    recipes: Sequence[Recipe],
    windows: np.ndarray,
    moments: Mapping[str, np.ndarray] | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> list[dict]:
    """Return one record for the model as it is, and one for each recipe.

    Args:
        model: the reference.
        recipes: what to compare.
        windows: tokens [count, length + 1].
        moments: see `restored_model`.
        progress: told what is being done.
    """
    restored = {}
    for recipe in recipes:
        progress(f"quantising: {recipe.name}")
        restored[recipe.name] = restored_model(model, recipe, moments)
    progress(f"scoring {len(restored) + 1} models on {len(windows)} windows")
    own, scores = score(model, {n: r.model for n, r in restored.items()}, windows)
    records = [{"name": "as stored"} | own.as_dict()]
    return records + [_record(name, r, scores[name]) for name, r in restored.items()]


def _record(name: str, restored: Restored, found: Score) -> dict:
    return {"name": name} | restored.as_dict() | found.as_dict()


def _layers(model: Llama, moments: Mapping[str, np.ndarray]) -> Iterator[Layer]:
    for name in linear_weights(model.config):
        weights = model.backend.numpy(model.weights[name])
        yield Layer(name, check_matrix(name, weights), moments.get(name))
