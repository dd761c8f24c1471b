"""Several recipes on the same weights: one record each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from amssim.quality.cost import QuantizationCost
from amssim.quality.layers.layer import LinearLayer
from amssim.quality.layers.sources import check_matrix
from amssim.quality.recipes.recipe import Recipe
from amssim.quality.record import QualityRecord


def compare(layers: Iterable[LinearLayer], recipes: Sequence[Recipe]) -> list[QualityRecord]:
    """Return a record for each recipe: name, family, effective bits, error, and dB by layer.

    Args:
        layers: the weights, each read once and let go.
        recipes: what to compare.

    Raises:
        InputError: weights that are empty, not finite or all zero, or no layer at all.
    """
    costs = [QuantizationCost() for _ in recipes]
    for layer in layers:
        check_matrix(layer.name, layer.weights)
        for recipe, cost in zip(recipes, costs, strict=True):
            cost.add(layer, *recipe.restore(layer))
    for cost in costs:
        cost.check()
    return [
        named_record(recipe, cost) | {"layers_db": cost.layers_db}
        for recipe, cost in zip(recipes, costs, strict=True)
    ]


def named_record(recipe: Recipe, cost: QuantizationCost) -> QualityRecord:
    """Return what ``recipe`` has cost, with its name and family."""
    return {"name": recipe.name, "family": recipe.family} | cost.as_dict()
