"""A language model under several recipes: perplexity, KL divergence, weight and output error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from amssim.lm.llama import Llama
from amssim.lm.load import linear_weights
from amssim.lm.scoring import score
from amssim.progress import Progress, Steps
from amssim.quality.cost import QuantizationCost
from amssim.quality.evaluation.compare import named_record
from amssim.quality.layers.layer import LinearLayer
from amssim.quality.layers.sources import check_matrix
from amssim.quality.recipes.recipe import Recipe
from amssim.quality.record import QualityRecord


def restored_model(
    model: Llama,
    recipe: Recipe,
    *,
    moments: Mapping[str, np.ndarray] | None = None,
    steps: Steps | None = None,
) -> tuple[Llama, QuantizationCost]:
    """Put every linear layer of ``model`` through ``recipe``; embeddings and head stay.

    Args:
        model: with float32 weights.
        recipe: what to do.
        moments: second moments of the layers' inputs by weight name.
        steps: counts the layers.
    """
    changed, cost = {}, QuantizationCost()
    for layer in model_layers(model, moments=moments):
        if steps:
            steps(recipe.name)
        restored, bits = recipe.restore(layer)
        cost.add(layer, restored, bits)
        changed[layer.name] = model.backend.array(restored)
    return model.with_weights(changed), cost


def evaluate(
    model: Llama,
    recipes: Sequence[Recipe],
    windows: np.ndarray,
    *,
    moments: Mapping[str, np.ndarray] | None = None,
    progress: Progress | None = None,
) -> list[QualityRecord]:
    """Return one record for the model as it is, and one for each recipe.

    Args:
        model: the reference.
        recipes: what to compare.
        windows: tokens [count, length + 1].
        moments: see `restored_model`.
        progress: told of each layer quantised and each window scored.
    """
    recipes = list(dict.fromkeys(recipes))
    layer_steps = len(recipes) * len(linear_weights(model.config))
    steps = Steps(layer_steps + (len(recipes) + 1) * len(windows), progress)
    made = {r: restored_model(model, r, moments=moments, steps=steps) for r in recipes}
    models = {recipe: restored for recipe, (restored, _) in made.items()}
    own, scores = score(model, models, windows, steps=steps)
    stored: QualityRecord = {"name": "as stored", "family": "as stored"}
    records = [stored | own.as_dict()]
    for recipe, (_, cost) in made.items():
        records.append(named_record(recipe, cost) | scores[recipe].as_dict())
    return records


def model_layers(
    model: Llama, *, moments: Mapping[str, np.ndarray] | None = None
) -> Iterator[LinearLayer]:
    """Yield the linear layers of ``model``, with the second moments of their inputs if given."""
    for name in linear_weights(model.config):
        weights = model.backend.numpy(model.weights[name])
        yield LinearLayer(name, check_matrix(name, weights), (moments or {}).get(name))
