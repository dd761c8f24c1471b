"""The Llama forward pass: RMSNorm, rotary embedding, grouped-query attention, SwiGLU.

Source: LLaMA, arXiv 2302.13971, section 2.2, and the tensor names of the transformers library.
Biases are added where there are any, and Qwen3 norms queries and keys (arXiv 2505.09388).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from amssim.errors import UnsupportedError
from amssim.lm.backends import Backend
from amssim.lm.config import LlamaConfig

#: Linear layers of a decoder layer, in the order of the forward pass.
LINEARS = (
    *(f"self_attn.{part}_proj" for part in "qkvo"),
    *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
)

Observer = Callable[[str, Any], None]


class Llama:
    """A model as a function of its tokens.

    Args:
        config: sizes and constants.
        weights: arrays of ``backend`` by tensor name, float32; matrices are [out, in].
        backend: the array library.
    """

    def __init__(self, config: LlamaConfig, weights: Mapping[str, Any], backend: Backend):
        self.config, self.weights, self.backend = config, weights, backend

    def with_weights(self, changed: Mapping[str, Any]) -> Llama:
        """Return this model with some tensors replaced."""
        return Llama(self.config, {**self.weights, **changed}, self.backend)

    def logits(self, tokens: np.ndarray, observe: Observer | None = None) -> Any:
        """float32[batch, length, vocabulary] logits of the token after each of ``tokens``.

        Args:
            tokens: integers [batch, length].
            observe: called with a linear layer's name and its input [batch, length, in].

        Raises:
            UnsupportedError: more tokens than the model's attention sees at once.
        """
        window = self.config.attention_window
        if window and tokens.shape[1] > window:
            raise UnsupportedError(
                f"the model's attention sees {window} tokens and the windows have "
                f"{tokens.shape[1]}: take shorter ones"
            )
        see = observe or (lambda name, x: None)
        x = self.weights["model.embed_tokens.weight"][self.backend.array(tokens.astype(np.int64))]
        turn = self._rotation(tokens.shape[1])
        for i in range(self.config.num_hidden_layers):
            layer = f"model.layers.{i}"
            normed = self._norm(f"{layer}.input_layernorm", x)
            x = x + self._attention(f"{layer}.self_attn", normed, turn, see)
            normed = self._norm(f"{layer}.post_attention_layernorm", x)
            x = x + self._feed_forward(f"{layer}.mlp", normed, see)
        head = "model.embed_tokens" if self.config.tie_word_embeddings else "lm_head"
        return self._linear(head, self._norm("model.norm", x), lambda name, x: None)

    def _norm(self, name: str, x: Any) -> Any:
        """x / rms(x) * weight."""
        xp = self.backend.xp
        mean_square = xp.mean(x * x, axis=-1, keepdims=True)
        return x / xp.sqrt(mean_square + self.config.rms_norm_eps) * self.weights[f"{name}.weight"]

    def _linear(self, name: str, x: Any, observe: Observer) -> Any:
        observe(name, x)
        y = x @ self.weights[f"{name}.weight"].T
        bias = self.weights.get(f"{name}.bias")
        return y if bias is None else y + bias

    def _feed_forward(self, name: str, x: Any, observe: Observer) -> Any:
        """down(silu(gate(x)) * up(x)), with silu(g) = g / (1 + e^-g) = g/2 (1 + tanh(g/2))."""
        half = self._linear(f"{name}.gate_proj", x, observe) * 0.5
        gated = (half + half * self.backend.xp.tanh(half)) * self._linear(
            f"{name}.up_proj", x, observe
        )
        return self._linear(f"{name}.down_proj", gated, observe)

    def _attention(self, name: str, x: Any, turn: tuple[Any, Any], observe: Observer) -> Any:
        """Causal softmax attention; each key-value head serves heads / key-value heads queries."""
        q, k, v = (self._heads(self._linear(f"{name}.{p}_proj", x, observe)) for p in "qkv")
        if self.config.qk_norm:
            q, k = self._norm(f"{name}.q_norm", q), self._norm(f"{name}.k_norm", k)
        q, k = _rotate(self.backend.xp, q, *turn), _rotate(self.backend.xp, k, *turn)
        batch, heads, length, size = q.shape
        shared = k.shape[1]
        q = q.reshape(batch, shared, heads // shared, length, size)
        scores = q @ self.backend.xp.swapaxes(k, 2, 3)[:, :, None] * size**-0.5
        mixed = _causal_softmax(self.backend, scores) @ v[:, :, None]
        mixed = self.backend.xp.swapaxes(mixed.reshape(batch, heads, length, size), 1, 2)
        return self._linear(f"{name}.o_proj", mixed.reshape(batch, length, -1), observe)

    def _heads(self, x: Any) -> Any:
        """[batch, length, heads * size] -> [batch, heads, length, size]."""
        batch, length, _ = x.shape
        return self.backend.xp.swapaxes(x.reshape(batch, length, -1, self.config.head_dim), 1, 2)

    def _rotation(self, length: int) -> tuple[Any, Any]:
        """cos and sin of position times frequency, float32[length, size], halves repeated."""
        angle = np.outer(np.arange(length), self.config.inverse_frequencies())
        angle = np.concatenate([angle, angle], axis=1)
        cos, sin = (self.backend.array(f(angle).astype(np.float32)) for f in (np.cos, np.sin))
        return cos, sin


def _rotate(xp: ModuleType, x: Any, cos: Any, sin: Any) -> Any:
    """Turn each pair (x_i, x_{i + size/2}) by its angle."""
    half = x.shape[-1] // 2
    turned = xp.concatenate([-x[..., half:], x[..., :half]], axis=-1)
    return x * cos + turned * sin


def _causal_softmax(backend: Backend, scores: Any) -> Any:
    """Softmax over the last axis, where a query sees only its own and earlier positions."""
    xp, length = backend.xp, scores.shape[-1]
    hidden = np.triu(np.full((length, length), -np.inf, np.float32), 1)
    scores = scores + backend.array(hidden)
    weights = xp.exp(scores - xp.amax(scores, axis=-1, keepdims=True))
    return weights / xp.sum(weights, axis=-1, keepdims=True)
