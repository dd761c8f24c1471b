"""OPAL-like blocks: a few outliers in bfloat16, the rest integers under a power of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import ml_dtypes
import numpy as np

from amssim.errors import SchemeError
from amssim.formats.base import Format, MatrixShape, Parts, StoredPart
from amssim.formats.input_moments import InputMoments
from amssim.formats.rounding.blocks import block_count, check_positive, check_width, in_blocks
from amssim.formats.rounding.scale_codes import e8m0, from_e8m0

_LARGEST = float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)  # type: ignore[no-untyped-call]


@dataclass(frozen=True, kw_only=True)
class Opal(Format):
    """Blocks keep their n largest weights in bfloat16 with their places, the others as s q.

    q has b bits, symmetric, and s is the least power of two at which the largest other weight
    does not saturate. A block that the row's end cuts short is filled up with zeros.

    >>> restored = Opal(bits=4, outliers=1, scale_block=4).quantize(np.float32([[9, 3, -2, 7]]))
    >>> restored.dequantize()
    array([[ 9.,  3., -2.,  7.]], dtype=float32)
    """

    family: ClassVar[str] = "microscaling"
    formula: ClassVar[str] = "b + 8/g + n (16 + log2 g - b)/g"
    source: ClassVar[str] = "OPAL, arXiv 2409.05902, microscaling with preserved outliers"
    simplified: ClassVar[str] = "its activation format applied to weights; field widths are ours"
    checked: ClassVar[str] = "a block-by-block version in plain Python"

    bits: int = 4
    outliers: int = 1
    scale_block: int = 128

    def __post_init__(self) -> None:
        check_positive(outliers=self.outliers, scale_block=self.scale_block)
        check_width("opal", self.bits, 2, 8)
        if self.outliers >= self.scale_block:
            raise SchemeError(
                "opal takes fewer outliers than a block has weights, "
                f"found {self.outliers} of {self.scale_block}"
            )

    @property
    def name(self) -> str:
        """Such as ``opal4-n1-g128``."""
        return f"opal{self.bits}-n{self.outliers}-g{self.scale_block}"

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return codes without the outliers' places, exponents, outliers and their places."""
        blocks = (shape[0], block_count(shape[1], self.scale_block))
        index_bits = (self.scale_block - 1).bit_length()
        return {
            "codes": StoredPart((*blocks, self.scale_block - self.outliers), self.bits),
            "scales": StoredPart(blocks, 8),
            "outliers": StoredPart((*blocks, self.outliers), 16),
            "places": StoredPart((*blocks, self.outliers), index_bits),
        }

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Take the outliers out, then scale and round the rest."""
        blocks = in_blocks(weights, self.scale_block)
        order = np.argsort(-np.abs(blocks), axis=2, kind="stable")
        places, others = np.split(order, [self.outliers], axis=2)
        outliers = np.take_along_axis(blocks, np.sort(places, axis=2), axis=2)
        rest = np.take_along_axis(blocks, np.sort(others, axis=2), axis=2)
        limit = 2 ** (self.bits - 1) - 1
        largest = np.abs(rest).max(axis=2) / np.float32(limit + 0.5)
        exponents = np.frexp(np.maximum(largest, np.finfo(np.float32).tiny))[1]
        exponents -= np.frexp(largest)[0] == 0.5  # a power of two is its own ceiling
        scales = e8m0(exponents)
        steps = np.clip(np.rint(rest / from_e8m0(scales)[..., None]), -limit, limit)
        return {
            "codes": (steps + limit).astype(np.uint8),
            "scales": scales,
            "outliers": np.clip(outliers, -_LARGEST, _LARGEST).astype(ml_dtypes.bfloat16),
            "places": np.sort(places, axis=2).astype(
                np.uint8 if self.scale_block <= 256 else np.uint32
            ),
        }

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Put the outliers back in their places among the scaled integers."""
        limit = 2 ** (self.bits - 1) - 1
        steps = parts["codes"].astype(np.float32) - limit
        rest = steps * from_e8m0(parts["scales"]).astype(np.float64)[..., None]
        rest = np.clip(rest, -np.finfo(np.float32).max, np.finfo(np.float32).max)
        places = parts["places"].astype(np.intp)
        blocks = np.zeros((*places.shape[:2], self.scale_block), np.float32)
        taken = np.zeros(blocks.shape, bool)
        np.put_along_axis(taken, places, True, axis=2)
        blocks[taken] = parts["outliers"].astype(np.float32).ravel()
        blocks[~taken] = rest.ravel()
        return blocks.reshape(shape[0], -1)[:, : shape[1]]
