"""Draw the figures of docs/ERROR.md from recorded results: python analysis/error_figures.py"""

from __future__ import annotations

from collections.abc import Iterator

import error_predictors
import recorded
import style
from matplotlib.figure import Figure

from amssim.quality import (
    cost_of_k,
    cost_of_scales,
    cost_of_search,
    divergence_against_error,
    error_against_bits,
    layer_map,
    layer_tails,
    perplexity_against_bits,
    tail_curves,
)

TITLES = {"normal": "normal weights", "t5": "Student-t weights, 5 degrees"}


def figures() -> Iterator[tuple[str, Figure]]:
    """Yield the name of each figure's file and the figure."""
    yield from study()
    yield from formats()
    yield from layers()
    yield from predictions()


def study() -> Iterator[tuple[str, Figure]]:
    """What each choice of sharing costs."""
    weights = recorded.load("error_study")["weights"]
    yield "error_k", cost_of_k(weights["normal"], title="cost of k, normal weights")
    yield "error_search", cost_of_search(weights["model"], title="language model,")
    yield "error_scales", cost_of_scales(weights["t5"], title="scale blocks, Student-t weights")


def formats() -> Iterator[tuple[str, Figure]]:
    """Every format at its bits, and a few against the weight of the tails."""
    results = recorded.load("error_formats")
    panels = {title: results["random"][name] for name, title in TITLES.items()}
    panels["language model"] = {"records": model_records(), "bounds": results["model"]["bounds"]}
    yield "error_bits", error_against_bits(panels)
    yield "error_tails", tail_curves(results["tails"], title="generalised normal weights")


def layers() -> Iterator[tuple[str, Figure]]:
    """Every matrix of the model: a map by its place, and its tails."""
    model = recorded.load("error_formats")["model"]
    points = [
        {"format": record["name"], "shape": model["shapes"][layer], "sqnr_db": db}
        for record in model["layers"]
        for layer, db in record["layers_db"].items()
    ]
    shown = next(r for r in model["layers"] if r["name"].startswith("fp4.25"))
    title = f"SQNR of each matrix, {shown['name']}"
    yield "error_layers_fp4.25", layer_map(shown["layers_db"], title, "SQNR, dB")
    yield "error_shapes", layer_tails(points, model["expected"], title="matrices of the model")


def predictions() -> Iterator[tuple[str, Figure]]:
    """What the model then predicts, and how sensitive it is to each matrix."""
    scored = recorded.load("error_model")
    stored = scored["stored"]["perplexity"]
    yield "error_perplexity", perplexity_against_bits(model_records(), stored)
    every = [r for group in scored["groups"].values() for r in group]
    yield "error_divergence", divergence_against_error(error_predictors.quantised(every))
    shares = {layer: 1e3 * felt for layer, felt in scored["sensitivity"].items()}
    title = "KL divergence per unit share of noise in a matrix's output"
    yield "error_sensitivity", layer_map(shares, title, "thousandths of a nat")


def model_records() -> list[dict]:
    """Quantised records of the model in the order of the groups, but for the search rules."""
    groups = recorded.load("error_model")["groups"]
    chosen = (group for name, group in groups.items() if name != "search")
    return [r for group in chosen for r in group if r["effective_bits"] < 16]


if __name__ == "__main__":
    for name, figure in figures():
        style.save(figure, name)
