"""What a decoder must obey whatever its weights: causality, scale, order of layers, its inputs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_variants import VARIANTS

import tiny_llama
from amssim import lm
from amssim.errors import InputError
from amssim.lm import Score, linear_weights, load_model, score, second_moments, spread_windows

TOKENS = np.random.default_rng(3).integers(0, 50, (2, 12))


@pytest.fixture(params=["llama", "qwen3", "llama3 rope", "attention bias"])
def model(request, tmp_path):
    return load_model(tiny_llama.write(tmp_path, **VARIANTS[request.param]))


def test_a_token_does_not_see_the_future(model):
    changed = TOKENS.copy()
    changed[:, 7:] = (changed[:, 7:] + 13) % 50
    before, after = model.logits(TOKENS), model.logits(changed)
    np.testing.assert_allclose(before[:, :7], after[:, :7], rtol=1e-5, atol=1e-5)
    assert np.abs(before[:, 7:] - after[:, 7:]).max() > 0.01


def test_texts_of_a_batch_do_not_see_each_other(model):
    together = model.logits(TOKENS)
    for row, tokens in zip(together, TOKENS, strict=True):
        np.testing.assert_allclose(row, model.logits(tokens[None])[0], rtol=1e-4, atol=1e-5)


def test_rms_norm_takes_the_size_of_the_head_out(model):
    """Before the head everything is normed: doubling the last norm doubles the logits."""
    doubled = model.with_weights({"model.norm.weight": 2 * model.weights["model.norm.weight"]})
    np.testing.assert_allclose(doubled.logits(TOKENS), 2 * model.logits(TOKENS), rtol=1e-5)


def test_changed_weights_leave_the_model_as_it_was(model):
    name = linear_weights(model.config)[0]
    before = model.logits(TOKENS).copy()
    other = model.with_weights({name: model.weights[name] * 0})
    assert np.abs(other.logits(TOKENS) - before).max() > 1e-3
    assert np.array_equal(model.logits(TOKENS), before)


def test_inputs_are_observed_in_the_order_of_the_layers(model):
    seen = []
    model.logits(TOKENS, lambda name, x: seen.append((f"{name}.weight", x.shape)))
    assert [name for name, _ in seen] == linear_weights(model.config)
    for name, shape in seen:
        assert shape == (*TOKENS.shape, model.weights[name].shape[1])


def test_second_moments_are_positive_semidefinite(model):
    for name, moments in second_moments(model, TOKENS, batch=1).items():
        assert np.array_equal(moments, moments.T), name
        assert np.linalg.eigvalsh(moments.astype(float)).min() > -1e-4 * np.trace(moments), name


def test_batches_do_not_change_second_moments(model):
    one, two = (second_moments(model, TOKENS, batch=n) for n in (1, 2))
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-3, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 3))
def test_divergence_is_never_negative_and_zero_for_the_same_model(sharpness):
    model = KEPT
    other = model.with_weights({"lm_head.weight": model.weights["lm_head.weight"] * sharpness})
    windows = spread_windows(TOKENS.reshape(-1), count=2, length=8)
    own, scores = score(model, {1: other, 2: model}, windows)
    assert set(scores) == {1, 2}  # any key
    assert scores[1].as_dict()["kl_mean"] >= -1e-7
    assert abs(scores[2].as_dict()["kl_mean"]) < 1e-7
    assert own.tokens == scores[1].tokens == windows[:, 1:].size
    # a uniform guess has the vocabulary as its perplexity; a model may be worse, but finite
    assert 1 <= own.perplexity < 1e4


@pytest.fixture(scope="module", autouse=True)
def _keep(tmp_path_factory):
    global KEPT
    KEPT = load_model(tiny_llama.write(tmp_path_factory.mktemp("model")))


def test_a_head_of_zeros_guesses_uniformly():
    flat = KEPT.with_weights({"lm_head.weight": KEPT.weights["lm_head.weight"] * 0})
    own, _ = score(flat, {}, spread_windows(TOKENS.reshape(-1), count=2, length=8))
    assert own.perplexity == pytest.approx(50, rel=1e-6)


def test_scores_are_means_and_quantiles_of_all_tokens():
    found = Score(4, 4 * np.log(3.0), [np.array([0.0, 0.1]), np.array([0.2, 0.5])])
    assert found.perplexity == pytest.approx(3)
    record = found.as_dict()
    assert record["kl_mean"] == pytest.approx(0.2)
    assert record["kl_p99"] == pytest.approx(np.quantile([0, 0.1, 0.2, 0.5], 0.99))
    assert Score(1, 0.0).as_dict()["kl_mean"] == 0


def test_public_names_of_the_package():
    for name in lm.__all__:
        assert getattr(lm, name) is not None
    assert callable(lm.score) and callable(lm.backend)
    with pytest.raises(InputError, match="unknown backend 'jax'"):
        lm.backend("jax")
