"""Integers of b bits with a float16 scale per group of columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from amssim.formats.base import Format, Part, Parts, Shape
from amssim.formats.blocks import (
    block_count,
    check_bits,
    check_positive,
    extremes,
    half,
    in_blocks,
    spread,
)
from amssim.formats.moments import Moments
from amssim.formats.table import integer_table


@dataclass(frozen=True)
class Integer(Format):
    """Symmetric: w = s q, q in -2^(b-1) .. 2^(b-1) - 1; the largest weight maps to the low end.

    The scale is therefore negative where the largest magnitude is positive, so that no code is
    lost. Group 32 with b = 4 or 5 is what GGUF calls Q4_0 and Q5_0.

    >>> weights = np.float32([[0.5, -1.0, 2.0, 0.3]])
    >>> Integer(bits=4, group=4).quantize(weights).dequantize()
    array([[ 0.5 , -1.  ,  2.  ,  0.25]], dtype=float32)
    """

    family: ClassVar[str] = "integer"
    formula: ClassVar[str] = "b + 16/g"
    source: ClassVar[str] = "GGUF Q4_0 and Q5_0 (ggml-org/llama.cpp), there with g = 32"
    simplified: ClassVar[str] = ""
    checked: ClassVar[str] = "gguf 0.19 (golden vectors of Q4_0 and Q5_0)"

    bits: int = 4
    group: int = 64

    def __post_init__(self):
        check_positive(group=self.group)
        check_bits("int", self.bits, 2, 8)

    @property
    def name(self) -> str:
        """Such as ``int4-g64``."""
        return f"int{self.bits}-g{self.group}"

    @property
    def table(self):
        """The integers of a code."""
        return integer_table(-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1)

    def layout(self, shape: Shape) -> dict[str, Part]:
        """Return codes and scales."""
        scales = (shape[0], block_count(shape[1], self.group))
        return {"codes": Part(shape, self.bits), "scales": Part(scales, 16)}

    def encode(self, weights: np.ndarray, moments: Moments) -> Parts:
        """Scale each group by its largest weight and round."""
        scales = half(signed_absmax(weights, self.group) / np.float32(self.table.values[0]))
        return {"codes": self.table.codes(weights, scales, self.group), "scales": scales}

    def decode(self, parts: Parts, shape: Shape) -> np.ndarray:
        """Return scale times integer."""
        scales = spread(parts["scales"].astype(np.float32), self.group, shape[1])
        return self.table.values_of(parts["codes"]) * scales


def signed_absmax(weights: np.ndarray, group: int) -> np.ndarray:
    """float32[rows, groups] each group's weight of the largest magnitude, the first of equals."""
    blocks = in_blocks(weights, group)
    position = np.abs(blocks).argmax(axis=2)[..., None]
    return np.take_along_axis(blocks, position, axis=2)[..., 0]


@dataclass(frozen=True)
class AsymmetricInteger(Format):
    """w = s (q - z), q and the zero point z in 0 .. 2^b - 1; the group's range includes zero.

    >>> AsymmetricInteger(bits=2, group=4).quantize(np.float32([[0, 1, 2, 3]])).dequantize()
    array([[0., 1., 2., 3.]], dtype=float32)
    """

    family: ClassVar[str] = "integer"
    formula: ClassVar[str] = "b + (16 + b)/g"
    source: ClassVar[str] = "GPTQ, arXiv 2210.17323 (its quantiser); AWQ, arXiv 2306.00978"
    simplified: ClassVar[str] = ""
    checked: ClassVar[str] = "torch.fake_quantize_per_channel_affine (golden vectors)"

    bits: int = 4
    group: int = 64

    def __post_init__(self):
        check_positive(group=self.group)
        check_bits("int", self.bits, 2, 8)

    @property
    def name(self) -> str:
        """Such as ``int4-asym-g64``."""
        return f"int{self.bits}-asym-g{self.group}"

    def layout(self, shape: Shape) -> dict[str, Part]:
        """Return codes, scales and zero points."""
        groups = (shape[0], block_count(shape[1], self.group))
        zeros = Part(groups, self.bits)
        return {"codes": Part(shape, self.bits), "scales": Part(groups, 16), "zeros": zeros}

    def encode(self, weights: np.ndarray, moments: Moments) -> Parts:
        """Spread the codes over each group's range."""
        return affine_parts(weights, *extremes(weights, self.group), self.bits, self.group)

    def decode(self, parts: Parts, shape: Shape) -> np.ndarray:
        """Return scale times (code - zero point)."""
        return affine_values(parts, self.group)


def affine_grid(low: np.ndarray, high: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """float16 scales and uint8 zero points for groups that range from low <= 0 to high >= 0."""
    scales = half((high.astype(np.float64) - low) / (2**bits - 1))
    zeros = np.clip(np.rint(-low / scales.astype(np.float32)), 0, 2**bits - 1)
    return scales, zeros.astype(np.uint8)


def affine_parts(weights, low, high, bits: int, group: int) -> Parts:
    """Codes, scales and zero points of ``weights`` on the grid of those ranges."""
    scales, zeros = affine_grid(low, high, bits)
    cols = weights.shape[1]
    steps = np.rint(weights / spread(scales.astype(np.float32), group, cols))
    codes = np.clip(steps + spread(zeros.astype(np.float32), group, cols), 0, 2**bits - 1)
    return {"codes": codes.astype(np.uint8), "scales": scales, "zeros": zeros}


def affine_values(parts: Parts, group: int) -> np.ndarray:
    """float32 scale times (code - zero point)."""
    cols = parts["codes"].shape[1]
    steps = parts["codes"].astype(np.float32) - spread(
        parts["zeros"].astype(np.float32), group, cols
    )
    return steps * spread(parts["scales"].astype(np.float32), group, cols)
