"""The numbers of a Llama-architecture model, read from a checkpoint's config.json."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amssim.checkpoint.safetensors.files import read_whole
from amssim.checkpoint.safetensors.strict_json import parse_json
from amssim.errors import FormatError, InputError, UnsupportedError
from amssim.lm.config_values import flag, positive_number, positive_whole
from amssim.lm.rotary import Rotary

#: Values of ``model_type`` whose forward pass is the one of `amssim.lm.llama`.
MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
)


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes and constants of the forward pass, named as in config.json."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    rope: Rotary
    tie_word_embeddings: bool
    #: Linear layers that have a bias, such as ``self_attn.q_proj``.
    biased: tuple[str, ...] = ()
    #: Whether queries and keys are normed before they are turned (Qwen3).
    qk_norm: bool = False
    #: Positions that a token sees, itself included; None is all before it.
    attention_window: int | None = None

    @classmethod
    def read(cls, checkpoint: Path) -> LlamaConfig:
        """Read ``checkpoint``/config.json.

        Raises:
            InputError: ``checkpoint`` is no directory.
            FormatError: no such file, or a number that is missing or impossible.
            UnsupportedError: another architecture, activation or rotary embedding.
        """
        checkpoint = Path(checkpoint)
        if not os.path.isdir(checkpoint):  # noqa: PTH112  no error for names of any kind
            raise InputError(
                f"{checkpoint} is no directory: a language model is one, with config.json and "
                "safetensors files"
            )
        path = checkpoint / "config.json"
        try:
            config = parse_json(read_whole(path), str(path), config=True)
        except InputError as error:
            raise FormatError(f"{error}: a language model needs its config.json") from None
        return cls.of(config, where=str(path))

    @classmethod
    def of(cls, config: Mapping[str, Any], *, where: str = "config") -> LlamaConfig:
        """Take the numbers from a parsed config.json; ``where`` names it in errors."""
        _check_kind(config, where)
        numbers = {name: positive_whole(config, name, where) for name in _SIZES}
        heads = numbers["num_attention_heads"]
        kv_heads = positive_whole(config, "num_key_value_heads", where, default=heads)
        head_dim = positive_whole(
            config, "head_dim", where, default=numbers["hidden_size"] // heads
        )
        if heads % kv_heads or head_dim % 2:
            raise FormatError(
                f"{where} has {heads} heads over {kv_heads} key-value heads of {head_dim}: heads "
                "must be a multiple of key-value heads and the head size even"
            )
        return cls(
            **numbers,
            num_key_value_heads=kv_heads,
            head_dim=head_dim,
            rms_norm_eps=positive_number(config, "rms_norm_eps", where, default=1e-6),
            rope=Rotary.of(config, where),
            tie_word_embeddings=flag(config, "tie_word_embeddings", where),
            biased=_biased(config, where),
            qk_norm=config["model_type"] == "qwen3",
            attention_window=_window(config, where),
        )

    def inverse_frequencies(self) -> np.ndarray:
        """float64[head_dim / 2] angle per position of each rotated pair of a head."""
        return self.rope.inverse_frequencies(self.head_dim)


def _check_kind(config: Mapping[str, Any], where: str) -> None:
    if not isinstance(config, dict):
        raise FormatError(f"{where} holds a {type(config).__name__}: expected named numbers")
    kind, activation = config.get("model_type"), config.get("hidden_act", "silu")
    if kind not in MODEL_TYPES:
        raise UnsupportedError(
            f"{where} has model_type {kind!r}: evaluation runs the Llama architecture only, "
            f"model_type {', '.join(MODEL_TYPES)}"
        )
    if activation != "silu":
        raise UnsupportedError(f"{where} has hidden_act {activation!r}: expected 'silu'")
    if config.get("partial_rotary_factor", 1) != 1:
        raise UnsupportedError(
            f"{where} has partial_rotary_factor = {config['partial_rotary_factor']!r}: "
            "expected heads that are turned as a whole"
        )


def _biased(config: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Linear layers with a bias: Qwen2 always has three, others say so."""
    attention, feed_forward = (flag(config, f"{n}_bias", where) for n in ("attention", "mlp"))
    parts = "qkvo" if attention else "qkv" if config["model_type"] == "qwen2" else ""
    names = [f"self_attn.{part}_proj" for part in parts]
    names += [f"mlp.{part}_proj" for part in ("gate", "up", "down") if feed_forward]
    return tuple(names)


def _window(config: Mapping[str, Any], where: str) -> int | None:
    """The sliding window; Qwen configurations give one and switch it off."""
    on = config["model_type"] == "mistral" or flag(config, "use_sliding_window", where)
    if not on or not config.get("sliding_window"):
        return None
    return positive_whole(config, "sliding_window", where)
