"""Draw the figures of docs/ERROR.md from recorded results: python analysis/error_figures.py"""

from __future__ import annotations

import error_predictors
import recorded
import style

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


def study() -> None:
    weights = recorded.load("error_study")["weights"]
    style.save(cost_of_k(weights["normal"], "cost of k, normal weights"), "error_k")
    style.save(cost_of_search(weights["model"], "language model,"), "error_search")
    style.save(cost_of_scales(weights["t5"], "scale blocks, Student-t weights"), "error_scales")


def formats() -> None:
    found = recorded.load("error_formats")
    panels = {title: found["random"][name] for name, title in TITLES.items()}
    records = [r for r in model_records() if r["effective_bits"] < 16]
    panels["language model"] = {"records": records, "bounds": found["model"]["bounds"]}
    style.save(error_against_bits(panels), "error_bits")
    style.save(tail_curves(found["tails"], "generalised normal weights"), "error_tails")
    each_layer(found["model"])


def each_layer(found: dict) -> None:
    """Every matrix of the model: a map by its place, and its tails."""
    points = []
    for record in found["layers"]:
        points += [
            {"format": record["name"], "shape": found["shapes"][layer], "sqnr_db": db}
            for layer, db in record["layers_db"].items()
        ]
        title = f"SQNR of each matrix, {record['name']}"
        name = f"error_layers_{record['name'].split('-')[0]}"
        style.save(layer_map(record["layers_db"], title, "SQNR, dB"), name)
    style.save(layer_tails(points, found["expected"], "matrices of the model"), "error_shapes")


def perplexity() -> None:
    stored = recorded.load("error_model")["stored"]["perplexity"]
    records = [r for r in model_records() if r["effective_bits"] < 16]
    style.save(perplexity_against_bits(records, stored), "error_perplexity")
    every = [r for g in recorded.load("error_model")["groups"].values() for r in g]
    style.save(divergence_against_error(error_predictors.quantised(every)), "error_divergence")


def sensitivity() -> None:
    found = recorded.load("error_model")["sensitivity"]
    shares = {layer: 1e3 * felt for layer, felt in found.items()}
    title = "KL divergence per unit share of noise in a matrix's output"
    style.save(layer_map(shares, title, "thousandths of a nat"), "error_sensitivity")


def model_records() -> list[dict]:
    """Records of the language model in the order of the groups, but for the search rules."""
    groups = recorded.load("error_model")["groups"]
    chosen = (group for name, group in groups.items() if name != "search")
    return [r for group in chosen for r in group]


if __name__ == "__main__":
    study()
    formats()
    perplexity()
    sensitivity()
