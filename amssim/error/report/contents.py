"""What the report on a checkpoint says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from amssim.error.compare import compare
from amssim.error.figures.formats import error_against_bits, perplexity_against_bits
from amssim.error.figures.layers import layer_map
from amssim.error.figures.sharing import cost_of_k, cost_of_scales, cost_of_search
from amssim.error.recipe import Recipe
from amssim.error.report.page import Page
from amssim.error.sources import Layers
from amssim.error.sweep import default_choices, sweep
from amssim.error.tally import Layer


def sampled(layers: Layers, weights: int, most: int) -> Layers:
    """Yield evenly spaced rows of each matrix, so that ``most`` of ``weights`` are left.

    Every matrix keeps at least 8 rows: short groups of rows still show its distribution.
    """
    share = min(1.0, most / weights)
    for layer in layers:
        height = len(layer.weights)
        rows = min(height, max(8, round(share * height)))
        kept = np.linspace(0, height - 1, rows).astype(np.int64)
        yield Layer(layer.name, layer.weights[kept]) if rows < height else layer


def add_sharing(page: Page, layers: Layers) -> None:
    """Run the sharing study and add its figures."""
    records = sweep(layers, default_choices())
    page.heading("What sharing a bit costs")
    page.figure(cost_of_k(records))
    page.heading("What the search rule gains")
    page.figure(cost_of_search(records))
    page.heading("Scales")
    page.figure(cost_of_scales(records))
    page.text(
        "Effective bits count every stored bit: codes, padding to whole blocks, float32 scales.",
        note=True,
    )


def add_formats(page: Page, layers: Layers, recipes: Sequence[Recipe]) -> None:
    """Compare formats on the same weights: figure, table, and a map of the layers."""
    records = compare(layers, recipes)
    page.heading("Formats at their effective bits")
    page.figure(error_against_bits({"": {"records": records, "bounds": {}}}))
    headings = ["format", "bits", "SQNR dB", "relative error", "cosine", "max error", "p99 error"]
    page.table(headings, [_row(r) for r in sorted(records, key=_bits)], _is_ours)
    page.heading("Layers")
    for record in records:
        if record["family"] == "AMS":
            page.figure(layer_map(record["layers_db"], record["name"], "SQNR, dB"))


def add_perplexity(page: Page, records: Sequence[dict]) -> None:
    """Add the records of `amssim.error.evaluation.evaluate`."""
    stored, *others = records
    page.heading("Language model")
    page.figure(perplexity_against_bits(others, stored["perplexity"]))
    rows = [[r["name"], f"{r['effective_bits']:.3f}", *_scores(r)] for r in others]
    rows = [["as stored", "", f"{stored['perplexity']:.4f}", "", ""], *rows]
    page.table(["format", "bits", "perplexity", "KL mean", "KL p99"], rows, _is_ours)
    page.text(f"{stored['tokens']:,} predicted tokens; KL in nats per token.", note=True)


def _scores(record: dict) -> Iterator[str]:
    for name in ("perplexity", "kl_mean", "kl_p99"):
        yield f"{record[name]:.4f}"


def _row(record: dict) -> list[str]:
    figures = ("sqnr_db", "relative_frobenius", "cosine", "max_error", "p99_error")
    return [record["name"], f"{record['effective_bits']:.3f}"] + [
        "" if record[name] is None else f"{record[name]:.4g}" for name in figures
    ]


def _bits(record: dict) -> float:
    return record["effective_bits"]


def _is_ours(row: Sequence[str]) -> bool:
    return row[0].startswith(("fp5.33", "fp4.25"))
