"""A Llama-architecture checkpoint of a few thousand weights, made anew for each test that asks."""

import json

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}


def shapes(config):
    """Name and shape of every tensor."""
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], hidden)
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        yield f"{layer}.input_layernorm.weight", (hidden,)
        yield f"{layer}.post_attention_layernorm.weight", (hidden,)
        for part, rows in zip("qkv", (queries, keys, keys), strict=True):
            yield f"{layer}.self_attn.{part}_proj.weight", (rows, hidden)
            if config.get("attention_bias") or config["model_type"] == "qwen2":
                yield f"{layer}.self_attn.{part}_proj.bias", (rows,)
        yield f"{layer}.self_attn.o_proj.weight", (hidden, queries)
        if config.get("attention_bias"):
            yield f"{layer}.self_attn.o_proj.bias", (hidden,)
        sizes = {"gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)}
        for part, shape in sizes.items():
            yield f"{layer}.mlp.{part}_proj.weight", shape
            if config.get("mlp_bias"):
                yield f"{layer}.mlp.{part}_proj.bias", shape[:1]
        if config["model_type"] == "qwen3":
            yield f"{layer}.self_attn.q_norm.weight", (head,)
            yield f"{layer}.self_attn.k_norm.weight", (head,)


def tensors(config, seed=0):
    """Random weights that keep activations near 1, bfloat16."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in shapes(config):
        values = rng.standard_normal(shape) / (shape[-1] ** 0.5 if len(shape) > 1 else 5)
        found[name] = (values + ("norm" in name)).astype(ml_dtypes.bfloat16)
    return found


def write(folder, changed=None, drop=(), **config):
    """Write a checkpoint; ``config`` overrides CONFIG, ``changed`` and ``drop`` its tensors."""
    config = CONFIG | config
    (folder / "config.json").write_text(json.dumps(config))
    kept = tensors(config) | (changed or {})
    kept = {name: value for name, value in kept.items() if name not in drop}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
