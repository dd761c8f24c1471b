"""Configurations of the Llama architecture that checkpoints of the hub come in."""

import numpy as np

_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}

#: What each changes in `tiny_llama.CONFIG`.
VARIANTS = {
    "llama": {},
    "tied embeddings": {"tie_word_embeddings": True},
    "attention bias": {"attention_bias": True},
    "mlp bias": {"mlp_bias": True},
    "one key-value head": {"num_key_value_heads": 1},
    "wide heads": {"head_dim": 20},
    "base and epsilon": {"rope_theta": 500000.0, "rms_norm_eps": 0.01},
    "llama3 rope": {"rope_scaling": _LLAMA3, "rope_theta": 50000.0},
    "linear rope": {"rope_scaling": {"rope_type": "linear", "factor": 3.0}},
    "mistral": {"model_type": "mistral", "sliding_window": 64},
    "qwen2": {"model_type": "qwen2", "use_sliding_window": False, "sliding_window": 4},
    "qwen3": {"model_type": "qwen3", "head_dim": 16, "tie_word_embeddings": True},
}

TOKENS = np.random.default_rng(12).integers(0, 50, (2, 24))
