"""Figures show what the records say, and the same records give the same bytes."""

import numpy as np
import pytest

from amssim.figures import svg
from amssim.quality.figures.formats import (
    divergence_against_error,
    error_against_bits,
    perplexity_against_bits,
    tail_curves,
)
from amssim.quality.figures.layers import layer_map, layer_tails
from amssim.quality.figures.sharing import cost_of_k, cost_of_scales, cost_of_search
from amssim.quality.layers.sources import from_density
from amssim.quality.sharing.study import default_study, sharing_study
from amssim.quality.theory.density import density


@pytest.fixture(scope="module")
def records():
    return sharing_study(from_density(density("normal"), 4096, columns=128), default_study())


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_cost_of_k_draws_each_element_over_k(records):
    (ax,) = cost_of_k(records).axes
    drawn = lines(ax)["e2m2"]
    assert drawn.get_xdata().tolist() == list(range(1, 9))
    expected = [r["sqnr_db"] for r in records[:32] if r["element"] == "e2m2"]
    assert drawn.get_ydata().tolist() == expected


def test_theory_is_drawn_beside_the_measurement(records):
    with_theory = [r | {"theory_db": r["sqnr_db"] - 1} for r in records]
    (ax,) = cost_of_k(with_theory).axes
    measured, predicted = ax.get_lines()[:2]
    assert np.allclose(measured.get_ydata() - predicted.get_ydata(), 1)
    assert predicted.get_linestyle() == "--"


def test_search_rules_have_a_panel_per_element(records):
    axes = cost_of_search(records).axes
    assert [ax.get_title() for ax in axes] == ["e2m3", "e2m2"]
    for ax in axes:
        assert set(lines(ax)) == {"adaptive", "replace", "majority", "zero", "one"}
        assert all(len(line.get_xdata()) >= 4 for line in ax.get_lines())


def test_scale_blocks_go_from_few_bits_to_many(records):
    (ax,) = cost_of_scales(records).axes
    assert len(ax.get_lines()) == 4
    assert all((np.diff(line.get_xdata()) >= 0).all() for line in ax.get_lines())


FORMATS = [
    {"family": "AMS", "name": "a", "effective_bits": 4.0, "sqnr_db": 20.0, "perplexity": 6.0},
    {"family": "AMS", "name": "b", "effective_bits": 5.0, "sqnr_db": 26.0, "perplexity": 5.6},
    {"family": "integer", "name": "c", "effective_bits": 4.5, "sqnr_db": 21.0, "perplexity": 5.9},
]


def test_formats_keep_their_places_and_bounds_stay_outside_the_limits():
    panel = {"records": FORMATS, "bounds": {"rate-distortion": [[3.0, 18.0], [9.0, 54.0]]}}
    (ax,) = error_against_bits({"normal": panel}).axes
    assert lines(ax)["AMS"].get_xydata().tolist() == [[4, 20], [5, 26]]
    assert lines(ax)["integer"].get_linestyle() == "None"
    assert ax.get_ylim()[1] < 30 and ax.get_xlim()[1] < 6
    (ax,) = perplexity_against_bits(FORMATS, 5.5).axes
    assert lines(ax)["AMS"].get_ydata().tolist() == [6.0, 5.6]
    assert ax.get_ylim()[0] < 5.5


def test_divergence_is_drawn_against_both_errors():
    found = [r | {"output_sqnr_db": r["sqnr_db"] + 2, "kl_mean": 10 ** (-r["sqnr_db"] / 10)}
             for r in FORMATS]  # fmt: skip
    weights, outputs = divergence_against_error(found).axes
    for ax in (weights, outputs):
        line = lines(ax)["proportional to noise"]
        for x, y in zip(*line.get_data(), strict=True):
            shift = 0 if ax is weights else 2
            assert y == pytest.approx(10 ** (-(x - shift) / 10))
    assert lines(outputs)["integer"].get_xdata().tolist() == [23.0]


def test_tails_are_drawn_by_shape():
    found = [r | {"shape": shape} for shape in (2.0, 0.6, 1.0) for r in FORMATS]
    (ax,) = tail_curves(found).axes
    assert lines(ax)["a (4.00)"].get_xdata().tolist() == [0.6, 1.0, 2.0]


def test_layers_lie_at_their_number_and_part():
    values = {"model.layers.0.mlp.up_proj.weight": 20.0, "model.layers.2.mlp.up_proj.weight": 22.0,
              "model.layers.2.self_attn.q_proj.weight": 25.0, "other": 19.0}  # fmt: skip
    ax = layer_map(values, "title", "dB").axes[0]
    grid = ax.get_images()[0].get_array()
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "2"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["mlp.up_proj", "q_proj", "other"]
    assert grid[0].tolist() == [20, 22] and grid[1, 1] == 25 and grid[2, 0] == 19


def test_layers_stand_by_their_shape_beside_the_closed_form():
    found = [{"format": "fp4.25-e2m2", "shape": s, "sqnr_db": db} for s, db in ((2, 21), (1, 18))]
    (ax,) = layer_tails(found, {"fp4.25-e2m2": [[0.8, 17], [2.5, 22]]}).axes
    measured, expected = ax.get_lines()[:2]
    assert measured.get_xydata().tolist() == [[2, 21], [1, 18]]
    assert expected.get_xydata().tolist() == [[0.8, 17], [2.5, 22]]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "1.2", "1.4", "1.7", "2", "2.4"]


def test_the_best_and_the_ams_formats_are_named():
    (ax,) = error_against_bits({"": {"records": FORMATS, "bounds": {}}}).axes
    assert {t.get_text() for t in ax.texts} == {"a", "b", "c"}
    worse = [*FORMATS, FORMATS[2] | {"name": "d", "effective_bits": 5.1}]
    (ax,) = error_against_bits({"": {"records": worse, "bounds": {}}}).axes
    assert "d" not in {t.get_text() for t in ax.texts}


def test_a_figure_has_the_same_bytes_each_time(records):
    first, again = (svg(cost_of_k(records)) for _ in range(2))
    assert first == again and first.startswith("<svg") and "matplotlib.org" not in first


def test_formats_that_hold_the_weights_exactly_are_off_the_scale():
    exact = {**FORMATS[0], "name": "exact", "sqnr_db": None}
    for records in ([*FORMATS, exact], [exact]):
        (ax,) = error_against_bits({"": {"records": records, "bounds": {}}}).axes
        assert "exact" not in {text.get_text() for text in ax.texts}
