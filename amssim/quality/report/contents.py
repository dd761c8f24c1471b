"""What the report on a checkpoint says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median, mode

import numpy as np
from matplotlib.figure import Figure

from amssim.quality.evaluation.compare import compare
from amssim.quality.figures.formats import error_against_bits, perplexity_against_bits
from amssim.quality.figures.layers import layer_map, layer_tails
from amssim.quality.figures.sharing import cost_of_k, cost_of_scales, cost_of_search
from amssim.quality.layers.layer import Layers, LinearLayer
from amssim.quality.recipes.recipe import Recipe
from amssim.quality.record import QualityRecord
from amssim.quality.report.page import Page
from amssim.quality.sharing.study import default_study, sharing_study
from amssim.quality.sharing.summary import summarize
from amssim.quality.theory.bounds import bound_curves
from amssim.quality.theory.density import density
from amssim.quality.theory.tails import expected_curve, shape_of
from amssim.scheme import scheme

_FIGURES = (("sqnr_db", ".2f"), ("relative_frobenius", ".4f"), ("cosine", ".6f"),
            ("max_error", ".4g"), ("p99_error", ".4g"))  # fmt: skip


def sampled(layers: Layers, weights: int, most: int) -> Layers:
    """Yield evenly spaced rows of each matrix, so that ``most`` of ``weights`` are left.

    Every matrix keeps at least 8 rows: short groups of rows still show its distribution.
    """
    share = min(1.0, most / weights)
    for layer in layers:
        height = len(layer.weights)
        rows = min(height, max(8, round(share * height)))
        kept = np.linspace(0, height - 1, rows).astype(np.int64)
        yield LinearLayer(layer.name, layer.weights[kept]) if rows < height else layer


def add_sharing(page: Page, layers: Layers) -> None:
    """Run the sharing study and add its figures."""
    records = sharing_study(layers, default_study())
    page.heading("What sharing a bit costs")
    for cost, gain in summarize(records):
        page.text(f"{cost}, {gain}.")
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
    """Compare formats on the same weights: figure, table, tails, and a map of the layers."""
    shapes: dict[str, float] = {}
    columns: list[int] = []
    records = compare(_watched(layers, shapes, columns), recipes)
    middle = median(shapes.values())
    panel = {"records": records, "bounds": bound_curves(density(f"gennorm:{middle:.3f}"))}
    page.heading("Formats at their effective bits")
    page.figure(error_against_bits({"": panel}))
    page.text(
        "The grey curves are what quantisers could reach on independent weights with the tails of "
        f"the median layer, a generalised normal density of shape {middle:.2f}.",
        note=True,
    )
    headings = ["format", "bits", "SQNR dB", "relative error", "cosine", "max error", "p99 error"]
    page.table(headings, [_row(r) for r in sorted(records, key=_bits)], ours=_is_ours)
    ours = [r for r in records if r["family"] == "AMS" and _is_ours([r["name"]])]
    page.heading("Tails")
    page.figure(_tails(ours, shapes, mode(columns)))
    page.text(
        "A shape of 2 is normal, 1 Laplace. Layers below their curve have structure within rows "
        "that the density does not know, such as outlier columns.",
        note=True,
    )
    page.heading("Layers")
    for record in ours:
        page.figure(layer_map(record["layers_db"], record["name"], "SQNR, dB"))


def _watched(layers: Layers, shapes: dict[str, float], columns: list[int]) -> Layers:
    """Yield ``layers``, noting shape and columns of each."""
    for layer in layers:
        if np.isfinite(layer.weights).all():  # what is not finite is refused where it arrives
            shapes[layer.name] = shape_of(layer.weights)
            columns.append(layer.weights.shape[1])
        yield layer


def _tails(records: Sequence[QualityRecord], shapes: dict[str, float], columns: int) -> Figure:
    """Every layer's SQNR by its shape, with the closed form for rows of ``columns``."""
    points = [
        {"format": r["name"], "shape": shapes[layer], "sqnr_db": db}
        for r in records
        for layer, db in r["layers_db"].items()
        if np.isfinite(db)
    ]
    around = list(shapes.values())
    expected = {r["name"]: expected_curve(scheme(r["name"]), columns, around) for r in records}
    return layer_tails(points, expected)


def add_perplexity(page: Page, records: Sequence[QualityRecord]) -> None:
    """Add the records of `amssim.quality.evaluate`."""
    stored, *others = records
    page.heading("Language model")
    page.figure(perplexity_against_bits(others, stored["perplexity"]))
    rows = [[r["name"], f"{r['effective_bits']:.3f}", *_scores(r)] for r in others]
    rows = [["as stored", "", f"{stored['perplexity']:.4f}", "", ""], *rows]
    page.table(["format", "bits", "perplexity", "KL mean", "KL p99"], rows, ours=_is_ours)
    page.text(f"{stored['tokens']:,} predicted tokens; KL in nats per token.", note=True)


def _scores(record: QualityRecord) -> Iterator[str]:
    for name in ("perplexity", "kl_mean", "kl_p99"):
        yield f"{record[name]:.4f}"


def _row(record: QualityRecord) -> list[str]:
    figures = ("inf" if record[n] is None else f"{record[n]:{form}}" for n, form in _FIGURES)
    return [record["name"], f"{record['effective_bits']:.3f}", *figures]


def _bits(record: QualityRecord) -> float:
    return float(record["effective_bits"])


def _is_ours(row: Sequence[str]) -> bool:
    return row[0].startswith(("fp5.33", "fp4.25"))
