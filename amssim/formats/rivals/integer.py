"""Integers of b bits with a float16 scale per block of columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from amssim.formats.base import Format, MatrixShape, Parts, StoredPart
from amssim.formats.input_moments import InputMoments
from amssim.formats.rounding.blocks import (
    block_count,
    check_positive,
    check_width,
    extremes,
    half_scales,
    in_blocks,
    per_column,
)
from amssim.formats.rounding.table import Table, integer_table


@dataclass(frozen=True, kw_only=True)
class Integer(Format):
    """Symmetric: w = s q, q in -2^(b-1) .. 2^(b-1) - 1; the largest weight maps to the low end.

    The scale is therefore negative where the largest magnitude is positive, so that no code is
    lost. Group 32 with b = 4 or 5 is what GGUF calls Q4_0 and Q5_0.

    >>> weights = np.float32([[0.5, -1.0, 2.0, 0.3]])
    >>> Integer(bits=4, scale_block=4).quantize(weights).dequantize()
    array([[ 0.5 , -1.  ,  2.  ,  0.25]], dtype=float32)
    """

    family: ClassVar[str] = "integer"
    formula: ClassVar[str] = "b + 16/g"
    source: ClassVar[str] = "GGUF Q4_0 and Q5_0 (ggml-org/llama.cpp), there with g = 32"
    simplified: ClassVar[str] = ""
    checked: ClassVar[str] = "gguf 0.19 (golden vectors of Q4_0 and Q5_0)"

    bits: int = 4
    scale_block: int = 64

    def __post_init__(self) -> None:
        check_positive(scale_block=self.scale_block)
        check_width("int", self.bits, 2, 8)

    @property
    def name(self) -> str:
        """Such as ``int4-g64``."""
        return f"int{self.bits}-g{self.scale_block}"

    @property
    def table(self) -> Table:
        """The integers of a code."""
        return integer_table(-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1)

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return codes and scales."""
        scales = (shape[0], block_count(shape[1], self.scale_block))
        return {"codes": StoredPart(shape, self.bits), "scales": StoredPart(scales, 16)}

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Scale each block by its largest weight and round."""
        scales = half_scales(
            signed_absmax(weights, self.scale_block) / np.float32(self.table.values[0])
        )
        return {"codes": self.table.codes(weights, scales, self.scale_block), "scales": scales}

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Return scale times integer."""
        scales = per_column(parts["scales"].astype(np.float32), self.scale_block, shape[1])
        weights: np.ndarray = self.table.values_of(parts["codes"]) * scales
        return weights


def signed_absmax(weights: np.ndarray, scale_block: int) -> np.ndarray:
    """float32[rows, blocks] each block's weight of the largest magnitude, the first of equals."""
    blocks = in_blocks(weights, scale_block)
    position = np.abs(blocks).argmax(axis=2)[..., None]
    return np.take_along_axis(blocks, position, axis=2)[..., 0]


@dataclass(frozen=True, kw_only=True)
class AsymmetricInteger(Format):
    """w = s (q - z), q and the zero point z in 0 .. 2^b - 1; the block's range includes zero.

    >>> AsymmetricInteger(bits=2, scale_block=4).quantize(np.float32([[0, 1, 2, 3]])).dequantize()
    array([[0., 1., 2., 3.]], dtype=float32)
    """

    family: ClassVar[str] = "integer"
    formula: ClassVar[str] = "b + (16 + b)/g"
    source: ClassVar[str] = "GPTQ, arXiv 2210.17323 (its quantiser); AWQ, arXiv 2306.00978"
    simplified: ClassVar[str] = ""
    checked: ClassVar[str] = "torch.fake_quantize_per_channel_affine (golden vectors)"

    bits: int = 4
    scale_block: int = 64

    def __post_init__(self) -> None:
        check_positive(scale_block=self.scale_block)
        check_width("int", self.bits, 2, 8)

    @property
    def name(self) -> str:
        """Such as ``int4-asym-g64``."""
        return f"int{self.bits}-asym-g{self.scale_block}"

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return codes, scales and zero points."""
        blocks = (shape[0], block_count(shape[1], self.scale_block))
        zeros = StoredPart(blocks, self.bits)
        return {
            "codes": StoredPart(shape, self.bits),
            "scales": StoredPart(blocks, 16),
            "zeros": zeros,
        }

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Spread the codes over each block's range."""
        return affine_parts(
            weights, *extremes(weights, self.scale_block), self.bits, self.scale_block
        )

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Return scale times (code - zero point)."""
        return affine_values(parts, self.scale_block)


def affine_grid(low: np.ndarray, high: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """float16 scales and uint8 zero points for blocks that range from low <= 0 to high >= 0."""
    scales = half_scales((high.astype(np.float64) - low) / (2**bits - 1))
    zeros = np.clip(np.rint(-low / scales.astype(np.float32)), 0, 2**bits - 1)
    return scales, zeros.astype(np.uint8)


def affine_parts(
    weights: np.ndarray, low: np.ndarray, high: np.ndarray, bits: int, scale_block: int
) -> Parts:
    """Codes, scales and zero points of ``weights`` on the grid of those ranges."""
    scales, zeros = affine_grid(low, high, bits)
    cols = weights.shape[1]
    steps = np.rint(weights / per_column(scales.astype(np.float32), scale_block, cols))
    codes = np.clip(steps + per_column(zeros.astype(np.float32), scale_block, cols), 0, 2**bits - 1)
    return {"codes": codes.astype(np.uint8), "scales": scales, "zeros": zeros}


def affine_values(parts: Parts, scale_block: int) -> np.ndarray:
    """float32 scale times (code - zero point)."""
    cols = parts["codes"].shape[1]
    zeros, scales = (
        per_column(parts[name].astype(np.float32), scale_block, cols)
        for name in ("zeros", "scales")
    )
    values: np.ndarray = (parts["codes"].astype(np.float32) - zeros) * scales
    return values
