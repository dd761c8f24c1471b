"""The numbers of a Llama-architecture model, read from a checkpoint's config.json."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amssim.errors import FormatError, UnsupportedError

#: Values of ``model_type`` whose forward pass is the one of `amssim.error.lm.llama`.
MODEL_TYPES = ("llama", "mistral", "qwen2")
ROPE_TYPES = ("default", "linear", "llama3")
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

    @classmethod
    def read(cls, checkpoint: Path) -> LlamaConfig:
        """Read ``checkpoint``/config.json.

        Raises:
            FormatError: no such file, or a number that is missing or impossible.
            UnsupportedError: another architecture, activation or rotary embedding.
        """
        path = Path(checkpoint) / "config.json"
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
        numbers = [_positive(found, name, where) for name in _SIZES]
        hidden, heads = found["hidden_size"], found["num_attention_heads"]
        kv_heads = found.get("num_key_value_heads") or heads
        head_dim = found.get("head_dim") or hidden // heads
        if heads % kv_heads or head_dim % 2:
            raise FormatError(
                f"{where} has {heads} heads over {kv_heads} key-value heads of {head_dim}: heads "
                "must be a multiple of key-value heads and the head size even"
            )
        eps = float(found.get("rms_norm_eps", 1e-6))
        tied = bool(found.get("tie_word_embeddings", False))
        return cls(*numbers, int(kv_heads), int(head_dim), eps, _rope(found, where), tied)

    def inverse_frequencies(self) -> np.ndarray:
        """float64[head_dim / 2] angle per position of each rotated pair, theta^(-2i/d), scaled.

        The scaling of ``rope_type`` "llama3" is that of Llama 3.1 (transformers,
        modeling_rope_utils.py): long wavelengths are stretched, those between are blended.
        """
        theta = float(self.rope.get("rope_theta", 10000.0))
        frequency = theta ** (-np.arange(0, self.head_dim, 2) / self.head_dim)
        kind, factor = self.rope["rope_type"], float(self.rope.get("factor", 1.0))
        if kind == "linear":
            return frequency / factor
        if kind == "llama3":
            low, high = (float(self.rope[f"{end}_freq_factor"]) for end in ("low", "high"))
            turns = self.rope["original_max_position_embeddings"] * frequency / (2 * math.pi)
            blend = np.clip((turns - low) / (high - low), 0, 1)
            return frequency * (blend + (1 - blend) / factor)
        return frequency


def _check_kind(found: dict, where: str) -> None:
    kind, activation = found.get("model_type"), found.get("hidden_act", "silu")
    if kind not in MODEL_TYPES:
        raise UnsupportedError(
            f"{where} has model_type {kind!r}: evaluation runs the Llama architecture only, "
            f"model_type {', '.join(MODEL_TYPES)}"
        )
    if activation != "silu":
        raise UnsupportedError(f"{where} has hidden_act {activation!r}: expected 'silu'")


def _positive(found: dict, name: str, where: str) -> int:
    value = found.get(name)
    if not isinstance(value, int) or value < 1:
        raise FormatError(f"{where} has {name} = {value!r}: expected a positive whole number")
    return value


def _rope(found: dict, where: str) -> dict:
    """Rotary parameters in the newer spelling (rope_parameters) or the older (rope_scaling)."""
    rope = dict(found.get("rope_parameters") or found.get("rope_scaling") or {})
    rope.setdefault("rope_theta", found.get("rope_theta", 10000.0))
    rope.setdefault("rope_type", rope.pop("type", "default"))
    if rope["rope_type"] not in ROPE_TYPES:
        raise UnsupportedError(
            f"{where} has rotary embedding {rope['rope_type']!r}: "
            f"expected one of {', '.join(ROPE_TYPES)}"
        )
    return rope
