"""The forward pass against one written with loops in float64, and across array libraries."""

import json
from pathlib import Path

import numpy as np
import pytest
from llama_variants import TOKENS as LONG
from llama_variants import VARIANTS

import tiny_llama
from amssim.errors import InputError, UnsupportedError
from amssim.lm.backends import backend
from amssim.lm.load import load_model


def by_loops(config, weights, tokens):
    """Logits of one sequence, position by position, float64, from the papers' formulas."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    head_size, heads = config["head_dim"], config["num_attention_heads"]
    shared = heads // config["num_key_value_heads"]

    def norm(x, name):
        return x / np.sqrt(np.mean(x**2) + config["rms_norm_eps"]) * w[f"{name}.weight"]

    def turned(x, position):
        out = x.copy()
        half = head_size // 2
        for j in range(half):
            angle = position * config["rope_theta"] ** (-2 * j / head_size)
            c, s = np.cos(angle), np.sin(angle)
            out[j] = x[j] * c - x[j + half] * s
            out[j + half] = x[j + half] * c + x[j] * s
        return out

    stream = [w["model.embed_tokens.weight"][t] for t in tokens]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        keys, values = [], []
        for position, x in enumerate(stream):
            y = norm(x, f"{layer}.input_layernorm")
            q, k, v = (w[f"{layer}.self_attn.{p}_proj.weight"] @ y for p in "qkv")
            keys.append([turned(h, position) for h in k.reshape(-1, head_size)])
            values.append(v.reshape(-1, head_size))
            mixed = []
            for h, query in enumerate(q.reshape(-1, head_size)):
                query = turned(query, position)
                scores = np.array([query @ key[h // shared] for key in keys]) / head_size**0.5
                p = np.exp(scores - scores.max())
                p /= p.sum()
                mixed.append(sum(a * value[h // shared] for a, value in zip(p, values)))  # noqa: B905
            x = x + w[f"{layer}.self_attn.o_proj.weight"] @ np.concatenate(mixed)
            y = norm(x, f"{layer}.post_attention_layernorm")
            gate, up = (w[f"{layer}.mlp.{p}_proj.weight"] @ y for p in ("gate", "up"))
            stream[position] = x + w[f"{layer}.mlp.down_proj.weight"] @ (
                gate / (1 + np.exp(-gate)) * up
            )
    name = "model.embed_tokens" if config["tie_word_embeddings"] else "lm_head"
    return np.array([w[f"{name}.weight"] @ norm(x, "model.norm") for x in stream])


TOKENS = np.array([[3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8, 2, 8, 1, 8]])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_logits_are_those_of_the_formulas(tmp_path, tied, kv_heads):
    changed = {"tie_word_embeddings": tied, "num_key_value_heads": kv_heads}
    model = load_model(tiny_llama.write(tmp_path, **changed))
    config = tiny_llama.CONFIG | changed
    found = model.logits(TOKENS)
    for row, tokens in zip(found, TOKENS, strict=True):
        expected = by_loops(config, tiny_llama.tensors(config), tokens)
        np.testing.assert_allclose(row, expected, rtol=2e-4, atol=2e-5)


GOLDEN = Path(__file__).parents[1] / "golden" / "logits_transformers.json"


@pytest.mark.parametrize("name", VARIANTS)
def test_logits_are_those_of_transformers(tmp_path, name):
    """Frozen by tests/golden/make_logits.py."""
    model = load_model(tiny_llama.write(tmp_path, **VARIANTS[name]))
    expected = json.loads(GOLDEN.read_text())["logits"][name]
    np.testing.assert_allclose(model.logits(LONG)[:, -1], expected, rtol=1e-4, atol=2e-5)


def test_windows_longer_than_the_attention_are_refused(tmp_path):
    folder = tiny_llama.write(tmp_path, model_type="mistral", sliding_window=23)
    with pytest.raises(UnsupportedError, match="sees 23 tokens and the windows have 24"):
        load_model(folder).logits(LONG)


def test_torch_gives_the_same_logits(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is an optional extra")
    folder = tiny_llama.write(tmp_path)
    library = backend("torch")
    found = library.numpy(load_model(folder, library).logits(TOKENS))
    np.testing.assert_allclose(found, load_model(folder).logits(TOKENS), rtol=1e-4, atol=1e-5)


def test_unknown_backend():
    with pytest.raises(InputError, match="unknown backend 'jax': choose one of numpy, torch"):
        backend("jax")
