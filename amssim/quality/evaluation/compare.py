"""Several recipes on the same weights: one record each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from amssim.quality.cost import QuantizationCost
from amssim.quality.layers.layer import LinearLayer
from amssim.quality.layers.sources import check_matrix
from amssim.quality.recipes.recipe import Recipe


def compare(layers: Iterable[LinearLayer], recipes: Sequence[Recipe]) -> list[dict]:
    """Return a record for each recipe: name, family, effective bits, error, and dB by layer.

    Args:
        layers: the weights, each read once and let go.
        recipes: what to compare.

    Raises:
        InputError: weights that are empty, not finite or all zero, or no layer at all.
    """
    tallies = [QuantizationCost() for _ in recipes]
    for layer in layers:
        check_matrix(layer.name, layer.weights)
        for recipe, tally in zip(recipes, tallies, strict=True):
            tally.add(layer, *recipe.restore(layer))
    for tally in tallies:
        tally.check()
    return [_record(r, t) for r, t in zip(recipes, tallies, strict=True)]


def _record(recipe: Recipe, tally: QuantizationCost) -> dict:
    named = {"name": recipe.name, "family": recipe.family}
    return named | tally.as_dict() | {"layers_db": tally.layers_db}
