"""The numbers of a Llama-architecture model, read from a checkpoint's config.json."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amssim.errors import FormatError, InputError, UnsupportedError

#: Values of ``model_type`` whose forward pass is the one of `amssim.lm.llama`.
MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
#: Rotary embeddings, and the numbers that each needs beside the base.
ROPE_TYPES = {
    "default": (),
    "linear": ("factor",),
    "llama3": (
        "factor",
        "low_freq_factor",
        "high_freq_factor",
        "original_max_position_embeddings",
    ),
}
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
    rope: Mapping[str, float | str]
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
        if not checkpoint.is_dir():
            raise InputError(
                f"{checkpoint} is no directory: a language model is one, with config.json and "
                "safetensors files"
            )
        path = checkpoint / "config.json"
        try:
            found = json.loads(path.read_text())
        except OSError as error:
            raise FormatError(
                f"{path} cannot be read ({error.strerror}): a language model needs its config.json"
            ) from None
        except ValueError as error:
            raise FormatError(f"{path} is not JSON ({error})") from None
        return cls.of(found, str(path))

    @classmethod
    def of(cls, found: dict, where: str = "config") -> LlamaConfig:
        """Take the numbers from a parsed config.json; ``where`` names it in errors."""
        _check_kind(found, where)
        numbers = {name: _positive(found, name, where) for name in _SIZES}
        heads = numbers["num_attention_heads"]
        kv_heads = _positive(found, "num_key_value_heads", where, heads)
        head_dim = _positive(found, "head_dim", where, numbers["hidden_size"] // heads)
        if heads % kv_heads or head_dim % 2:
            raise FormatError(
                f"{where} has {heads} heads over {kv_heads} key-value heads of {head_dim}: heads "
                "must be a multiple of key-value heads and the head size even"
            )
        return cls(
            **numbers,
            num_key_value_heads=kv_heads,
            head_dim=head_dim,
            rms_norm_eps=_number(found, "rms_norm_eps", where, 1e-6),
            rope=_rope(found, where),
            tie_word_embeddings=_flag(found, "tie_word_embeddings", where),
            biased=_biased(found, where),
            qk_norm=found["model_type"] == "qwen3",
            attention_window=_window(found, where),
        )

    def inverse_frequencies(self) -> np.ndarray:
        """float64[head_dim / 2] angle per position of each rotated pair, theta^(-2i/d), scaled.

        The scaling of ``rope_type`` "llama3" is that of Llama 3.1 (transformers,
        modeling_rope_utils.py): long wavelengths are stretched, those between are blended.
        """
        frequency = self.rope["rope_theta"] ** (-np.arange(0, self.head_dim, 2) / self.head_dim)
        kind, factor = self.rope["rope_type"], self.rope.get("factor")
        if kind == "linear":
            return frequency / factor
        if kind == "llama3":
            low, high = self.rope["low_freq_factor"], self.rope["high_freq_factor"]
            turns = self.rope["original_max_position_embeddings"] * frequency / (2 * math.pi)
            blend = np.clip((turns - low) / (high - low), 0, 1)
            return frequency * (blend + (1 - blend) / factor)
        return frequency


def _check_kind(found: dict, where: str) -> None:
    if not isinstance(found, dict):
        raise FormatError(f"{where} holds a {type(found).__name__}: expected named numbers")
    kind, activation = found.get("model_type"), found.get("hidden_act", "silu")
    if kind not in MODEL_TYPES:
        raise UnsupportedError(
            f"{where} has model_type {kind!r}: evaluation runs the Llama architecture only, "
            f"model_type {', '.join(MODEL_TYPES)}"
        )
    if activation != "silu":
        raise UnsupportedError(f"{where} has hidden_act {activation!r}: expected 'silu'")
    if found.get("partial_rotary_factor", 1) != 1:
        raise UnsupportedError(
            f"{where} has partial_rotary_factor = {found['partial_rotary_factor']!r}: "
            "expected heads that are turned as a whole"
        )


def _positive(found: dict, name: str, where: str, default: int | None = None) -> int:
    """A size; ``default`` where it is missing or null, unless that is None too."""
    value = default if found.get(name) is None else found[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise FormatError(f"{where} has {name} = {value!r}: expected a positive whole number")
    return value


def _number(found: dict, name: str, where: str, default: float | None = None) -> float:
    """A positive finite number; ``default`` as in `_positive`."""
    value = default if found.get(name) is None else found[name]
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    if not fits or not 0 < value < math.inf:
        raise FormatError(f"{where} has {name} = {value!r}: expected a positive number")
    return float(value)


def _flag(found: dict, name: str, where: str) -> bool:
    value = found.get(name) or False
    if not isinstance(value, bool):
        raise FormatError(f"{where} has {name} = {value!r}: expected true or false")
    return value


def _biased(found: dict, where: str) -> tuple[str, ...]:
    """Linear layers with a bias: Qwen2 always has three, others say so."""
    attention, feed_forward = (_flag(found, f"{n}_bias", where) for n in ("attention", "mlp"))
    parts = "qkvo" if attention else "qkv" if found["model_type"] == "qwen2" else ""
    names = [f"self_attn.{part}_proj" for part in parts]
    names += [f"mlp.{part}_proj" for part in ("gate", "up", "down") if feed_forward]
    return tuple(names)


def _window(found: dict, where: str) -> int | None:
    """The sliding window; Qwen configurations give one and switch it off."""
    on = found["model_type"] == "mistral" or _flag(found, "use_sliding_window", where)
    return _positive(found, "sliding_window", where) if on and found.get("sliding_window") else None


def _rope(found: dict, where: str) -> dict:
    """Rotary parameters in the newer spelling (rope_parameters) or the older (rope_scaling)."""
    rope = found.get("rope_parameters") or found.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise FormatError(f"{where} has a rotary embedding {rope!r}: expected named numbers")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ROPE_TYPES:
        raise UnsupportedError(
            f"{where} has rotary embedding {kind!r}: expected one of {', '.join(ROPE_TYPES)}"
        )
    base = _number({"rope_theta": found.get("rope_theta")} | rope, "rope_theta", where, 10000.0)
    numbers = {name: _number(rope, name, where) for name in ROPE_TYPES[kind]}
    if kind == "llama3" and numbers["low_freq_factor"] >= numbers["high_freq_factor"]:
        raise FormatError(
            f"{where} has low_freq_factor = {numbers['low_freq_factor']:g}: expected less than "
            f"high_freq_factor = {numbers['high_freq_factor']:g}"
        )
    return {"rope_type": kind, "rope_theta": base} | numbers
