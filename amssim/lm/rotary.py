"""Rotary embeddings: how far each pair of a head's numbers turns per position."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from amssim.errors import FormatError, UnsupportedError
from amssim.lm.config_values import positive_number

#: Rotary embeddings, and the numbers that each needs beside the base.
ROPE_TYPES: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": (
        "factor",
        "low_freq_factor",
        "high_freq_factor",
        "original_max_position_embeddings",
    ),
}


@dataclass(frozen=True)
class Rotary:
    """A rotary embedding, its numbers named as in config.json; 1 where its kind has none."""

    rope_type: str
    rope_theta: float
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 1.0
    original_max_position_embeddings: float = 1.0

    @classmethod
    def of(cls, config: Mapping[str, Any], where: str) -> Rotary:
        """Take the newer spelling (rope_parameters) or the older (rope_scaling) of a config.json.

        Raises:
            FormatError: a number that is missing or impossible.
            UnsupportedError: another kind.
        """
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        if not isinstance(rope, dict):
            raise FormatError(f"{where} has a rotary embedding {rope!r}: expected named numbers")
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind not in ROPE_TYPES:
            raise UnsupportedError(
                f"{where} has rotary embedding {kind!r}: expected one of {', '.join(ROPE_TYPES)}"
            )
        named = {"rope_theta": config.get("rope_theta")} | rope
        base = positive_number(named, "rope_theta", where, default=10000.0)
        numbers = {name: positive_number(rope, name, where) for name in ROPE_TYPES[kind]}
        if kind == "llama3" and numbers["low_freq_factor"] >= numbers["high_freq_factor"]:
            raise FormatError(
                f"{where} has low_freq_factor = {numbers['low_freq_factor']:g}: expected less than "
                f"high_freq_factor = {numbers['high_freq_factor']:g}"
            )
        return cls(kind, base, **numbers)

    def inverse_frequencies(self, head_dim: int) -> np.ndarray:
        """float64[head_dim / 2] angle per position of each rotated pair, theta^(-2i/d), scaled.

        The scaling of ``rope_type`` "llama3" is that of Llama 3.1 (transformers,
        modeling_rope_utils.py): long wavelengths are stretched, those between are blended.

        >>> Rotary("linear", 10000.0, factor=4.0).inverse_frequencies(4).tolist()
        [0.25, 0.0025]
        """
        frequency: np.ndarray = self.rope_theta ** (-np.arange(0, head_dim, 2) / head_dim)
        if self.rope_type == "linear":
            return frequency / self.factor
        if self.rope_type == "llama3":
            turns = self.original_max_position_embeddings * frequency / (2 * math.pi)
            between = self.high_freq_factor - self.low_freq_factor
            blend = np.clip((turns - self.low_freq_factor) / between, 0, 1)
            return frequency * (blend + (1 - blend) / self.factor)
        return frequency
