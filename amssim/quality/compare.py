"""Several recipes on the same weights: one record each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from amssim.quality.recipe import Recipe
from amssim.quality.sources import check_matrix
from amssim.quality.tally import Layer, Tally


def compare(layers: Iterable[Layer], recipes: Sequence[Recipe]) -> list[dict]:
    """Return a record for each recipe: name, family, effective bits, error, and dB by layer.

    Args:
        layers: the weights, each read once and let go.
        recipes: what to compare.

    Raises:
        InputError: weights that are empty, not finite or all zero, or no layer at all.
    """
    tallies = [Tally() for _ in recipes]
    for layer in layers:
        check_matrix(layer.name, layer.weights)
        for recipe, tally in zip(recipes, tallies, strict=True):
            tally.add(layer, *recipe.restore(layer))
    for tally in tallies:
        tally.check()
    return [_record(r, t) for r, t in zip(recipes, tallies, strict=True)]


def _record(recipe: Recipe, tally: Tally) -> dict:
    named = {"name": recipe.name, "family": recipe.family}
    return named | tally.as_dict() | {"layers_db": tally.layers_db}
