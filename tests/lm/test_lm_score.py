"""Perplexity and KL divergence against sums written out in float64; windows; calibration."""

import numpy as np
import pytest
from scipy.special import log_softmax

import tiny_llama
from amssim.errors import FormatError, InputError
from amssim.lm import scoring
from amssim.lm.load import load_model
from amssim.lm.moments import second_moments
from amssim.lm.scoring import score
from amssim.lm.windows import all_windows, between_windows, read_tokens, spread_windows

TOKENS = np.random.default_rng(5).integers(0, 50, 400)


@pytest.fixture
def model(tmp_path):
    return load_model(tiny_llama.write(tmp_path))


def test_scores_are_the_definitions(model, monkeypatch):
    other = model.with_weights({"lm_head.weight": model.weights["lm_head.weight"] * 1.25})
    windows = spread_windows(TOKENS, count=5, length=16)
    monkeypatch.setattr(scoring, "_BATCH_LOGITS", 2 * 16 * 50)  # batches of 2, 2 and 1
    own, scores = score(model, {"other": other}, windows)
    p, q = (log_softmax(m.logits(windows[:, :-1]).astype(float), axis=-1) for m in (model, other))
    target = windows[:, 1:, None]
    assert own.tokens == 80
    assert own.perplexity == pytest.approx(np.exp(-np.take_along_axis(p, target, 2).mean()), 1e-5)
    found = scores["other"].as_dict()
    expected = np.exp(-np.take_along_axis(q, target, 2).mean())
    assert found["perplexity"] == pytest.approx(expected, 1e-5)
    kl = (np.exp(p) * (p - q)).sum(axis=-1)
    assert found["kl_mean"] == pytest.approx(kl.mean(), 1e-4)
    assert found["kl_p99"] == pytest.approx(np.quantile(kl, 0.99), 1e-3)


def test_predictions_that_are_not_finite_are_refused(model):
    windows = spread_windows(TOKENS, count=2, length=8)
    name = "model.embed_tokens.weight"
    broken = model.with_weights({name: np.full_like(model.weights[name], np.inf)})
    with np.errstate(invalid="ignore"):
        with pytest.raises(InputError, match="the model as stored predicts numbers that are NaN"):
            score(broken, {}, windows)
        with pytest.raises(InputError, match="the quantised model predicts numbers"):
            score(model, {"broken": broken}, windows)


def test_a_model_does_not_diverge_from_itself(model):
    _, scores = score(model, {"same": model}, spread_windows(TOKENS, count=2, length=8))
    assert scores["same"].as_dict()["kl_p99"] == pytest.approx(0, abs=1e-6)


def test_second_moments_are_those_of_the_inputs(model):
    windows = all_windows(TOKENS, length=16)[:6, :-1]
    inputs = {}

    def keep(name, x):
        inputs.setdefault(f"{name}.weight", []).append(x.reshape(-1, x.shape[-1]))

    model.logits(windows, keep)
    found = second_moments(model, windows, batch=4)
    assert set(found) == set(inputs) and len(found) == 14
    for name, parts in inputs.items():
        x = np.concatenate(parts).astype(float)
        np.testing.assert_allclose(found[name], x.T @ x / len(x), rtol=1e-3, atol=1e-4)


def test_calibration_windows_share_no_token_with_the_scored_ones():
    tokens = np.arange(10_000)
    scored = spread_windows(tokens, count=16, length=100)
    others = between_windows(tokens, count=16, length=100)
    assert not np.intersect1d(scored, others).size
    assert len(np.unique(others)) == others.size
    with pytest.raises(InputError, match="400 tokens leave no room for 16 calibration windows"):
        between_windows(TOKENS, count=16, length=20)


def test_windows_of_the_whole_text_cover_it_once():
    windows = all_windows(TOKENS, length=16)
    assert windows.shape == (24, 17)
    assert (windows[:, 1:].reshape(-1) == TOKENS[1:385]).all()


def test_short_texts():
    windows = spread_windows(TOKENS[:12], count=128, length=8)
    assert len(windows) == 3 and len({w.tobytes() for w in windows}) == 3
    assert len(spread_windows(TOKENS[:9], count=128, length=8)) == 1
    with pytest.raises(InputError, match="12 tokens: expected at least 513"):
        spread_windows(TOKENS[:12])


@pytest.mark.parametrize(("count", "length"), [(0, 8), (4, 0), (-1, 8)])
def test_no_windows(count, length):
    for take in (spread_windows, between_windows):
        with pytest.raises(InputError, match=f"cannot take {count} windows of {length} tokens"):
            take(TOKENS, count=count, length=length)


def test_token_files(tmp_path):
    np.save(tmp_path / "a.npy", TOKENS.astype(np.uint16))
    (tmp_path / "a.txt").write_text(" ".join(map(str, TOKENS)))
    for name in ("a.npy", "a.txt"):
        found = read_tokens(tmp_path / name, 50)
        assert found.dtype == np.int64 and (found == TOKENS).all()


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        ([1, 50, 99], InputError, "2 token ids outside the vocabulary, the first 50 at position 1"),
        (np.uint64([1, 2**63]), InputError, "the first 9223372036854775808 at position 1"),
        ([-1], InputError, "1 token ids outside the vocabulary, the first -1 at position 0"),
        ([[1, 2]], FormatError, r"int64\[1, 2\]: expected integers in one row"),
        ([0.5], FormatError, r"float64\[1\]: expected integers"),
    ],
)
def test_bad_tokens(tmp_path, tokens, error, message):
    np.save(tmp_path / "t.npy", np.array(tokens))
    with pytest.raises(error, match=message):
        read_tokens(tmp_path / "t.npy", 50)


def test_a_file_that_holds_no_tokens(tmp_path):
    (tmp_path / "t.txt").write_text("def f(): pass")
    for name in ("t.txt", "missing.npy"):
        with pytest.raises(FormatError, match="cannot be read as tokens"):
            read_tokens(tmp_path / name, 50)


def test_perplexity_of_the_reference_model(reference_model):
    model = load_model(reference_model)
    tokens = read_tokens(reference_model / "heldout_tokens.npy", model.config.vocab_size)
    windows = spread_windows(tokens)[:4]
    # recorded once together with 5.5222 on all 128 windows
    assert score(model, {}, windows)[0].perplexity == pytest.approx(7.9914, abs=2e-3)
