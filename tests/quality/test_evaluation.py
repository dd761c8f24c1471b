"""Whole models under recipes, and recipes on streams of layers."""

import json
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

import tiny_llama
from amssim import reference, scheme
from amssim.errors import InputError
from amssim.formats.ams.ams import Ams
from amssim.lm.load import linear_weights, load_model
from amssim.lm.moments import second_moments
from amssim.lm.windows import spread_windows
from amssim.quality.evaluation.compare import compare
from amssim.quality.evaluation.evaluate import evaluate, model_layers, restored_model
from amssim.quality.evaluation.sensitivity import sensitivities
from amssim.quality.layers.layer import LinearLayer
from amssim.quality.recipes.recipe import Cast, FormatRecipe

TOKENS = np.random.default_rng(7).integers(0, 50, 300)
WINDOWS = spread_windows(TOKENS, count=6, length=20)
FP4_25, FP6 = FormatRecipe(Ams("fp4.25")), FormatRecipe(Ams("fp6-e2m3"))


@pytest.fixture
def model(tmp_path):
    return load_model(tiny_llama.write(tmp_path))


def test_linear_layers_are_restored_and_nothing_else(model):
    found, cost = restored_model(model, FP4_25)
    linear = set(linear_weights(model.config))
    for name, weights in model.weights.items():
        if name not in linear:
            assert found.weights[name] is weights
            continue
        words, scales = reference.quantize(weights, scheme("fp4.25"))
        expected = reference.dequantize(words, scales, scheme("fp4.25"), weights.shape[1])
        assert (found.weights[name] == expected).all()
    assert cost.metrics.count == sum(model.weights[n].size for n in linear)
    assert set(cost.layers_db) == linear


def test_records_of_an_evaluation(model):
    stored, fp16, fp6, fp4 = evaluate(model, [Cast(), FP6, FP4_25], WINDOWS)
    assert stored["name"] == "as stored" and stored["kl_mean"] == 0
    assert fp16["effective_bits"] == 16
    # bfloat16 weights near 1 are float16 weights, so this model is the stored one
    assert fp16["perplexity"] == pytest.approx(stored["perplexity"], rel=1e-6)
    assert 0 < fp6["kl_mean"] < fp4["kl_mean"] < fp4["kl_p99"]
    assert fp6["sqnr_db"] > fp4["sqnr_db"] + 5
    json.dumps([stored, fp6, fp4], allow_nan=False)


def test_progress_counts_layers_and_windows(model):
    told = []
    evaluate(model, [FP4_25, FP6], WINDOWS, progress=lambda *now: told.append(now))
    assert told[0] == (0, 2 * 14 + 3 * 6, FP4_25.name) and told[14][2] == FP6.name
    assert told[28] == (28, 46, "scoring") and [done for done, _, _ in told] == sorted(
        done for done, _, _ in told
    )


def test_sensitivity_is_the_divergence_of_one_layer_by_its_noise(model):
    moments = second_moments(model, WINDOWS[:, :-1])
    found = sensitivities(model, Ams("fp4.25"), WINDOWS, moments=moments)
    assert list(found) == linear_weights(model.config)
    name = list(found)[5]
    only = Only(name)
    record = evaluate(model, [only], WINDOWS, moments=moments)[1]
    (layer,) = (x for x in model_layers(model, moments=moments) if x.name == name)
    noise = (layer.weights - only.restore(layer)[0]).astype(np.float64)
    share = np.trace(noise @ layer.moments @ noise.T)
    share /= np.trace(layer.weights.astype(np.float64) @ layer.moments @ layer.weights.T)
    assert found[name] == pytest.approx(record["kl_mean"] / share, rel=1e-4)


@dataclass(frozen=True)
class Only:
    """A recipe that quantises one layer alone."""

    layer: str
    name: str = "only"
    family: str = ""

    def restore(self, layer):
        return FP4_25.restore(layer) if layer.name == self.layer else (layer.weights, Fraction(16))


def test_float16_saturates():
    restored, bits = Cast().restore(LinearLayer("w", np.float32([[1e6, -1e6, 0.1]])))
    assert restored.tolist() == [[65504, -65504, np.float16(0.1)]] and bits == 16


def test_calibrated_recipes_see_the_inputs(model):
    moments = second_moments(model, WINDOWS[:, :-1])
    weighted = Ams("fp4.25", weighted=True)
    plain, blind, seeing = (
        restored_model(model, recipe, moments=moments)[1]
        for recipe in (FP4_25, FormatRecipe(weighted), FormatRecipe(weighted, calibrated=True))
    )
    assert blind.output == plain.output
    assert seeing.output.sqnr_db != plain.output.sqnr_db


def test_comparison_counts_bits_exactly_and_names_layers(model):
    record, _ = compare(model_layers(model), [FP4_25, FP6])
    bits = sum(
        Ams("fp4.25").bits_per_weight(model.weights[n].shape) * model.weights[n].size
        for n in linear_weights(model.config)
    )
    assert record["effective_bits"] == float(Fraction(bits, record["count"]))
    assert record["family"] == "AMS" and len(record["layers_db"]) == 14
    with pytest.raises(InputError, match="no weights to measure"):
        compare([], [FP4_25])


def test_weights_that_are_not_finite_are_named(model):
    name = "model.layers.1.mlp.down_proj.weight"
    broken = model.weights[name].copy()
    broken[2, 5] = np.nan
    with pytest.raises(InputError, match=rf"{name} has.*1 in all.*at \[2, 5\]"):
        restored_model(model.with_weights({name: broken}), FP4_25)
