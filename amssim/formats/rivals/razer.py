"""RaZeR: NVFP4 whose spare code, negative zero, stands for a special value of the block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from amssim.formats.base import Format, MatrixShape, Parts, StoredPart
from amssim.formats.input_moments import InputMoments
from amssim.formats.rivals.nvfp4 import E2M1, tensor_scale
from amssim.formats.rounding.blocks import (
    absmax,
    block_count,
    check_filled,
    check_positive,
    per_column,
)
from amssim.formats.rounding.scale_codes import E3M3, e3m3, from_e3m3
from amssim.formats.rounding.table import Table, minifloat_table


@dataclass(frozen=True, kw_only=True)
class Razer(Format):
    """w = t s v, v in E2M1 or the block's special value, one of +5, -5, +8, -8.

    An E3M3 block scale has 6 bits; the 2 bits it leaves of NVFP4's 8 name the special value. Each
    special value gets the scale that maps the block's absolute maximum to its table's; the first
    with the least squared error is kept.

    >>> Razer().quantize(np.float32([[5, 1, -6, 0.5]])).dequantize()
    array([[ 5. ,  1. , -6. ,  0.5]], dtype=float32)
    """

    family: ClassVar[str] = "microscaling"
    formula: ClassVar[str] = "4 + 8/16 + 32/n, n the weights of the tensor"
    source: ClassVar[str] = "RaZeR, arXiv 2501.04052 v2, weight format"
    simplified: ClassVar[str] = "special values fixed at 5 and 8 rather than tuned per model"
    checked: ClassVar[str] = "brute force over special values and codes"
    uses: ClassVar[str] = "diagonal"

    scale_block: int = 16
    specials: tuple[float, ...] = (5.0, -5.0, 8.0, -8.0)

    def __post_init__(self) -> None:
        check_positive(scale_block=self.scale_block)
        check_filled(specials=self.specials)

    @property
    def name(self) -> str:
        """``razer``."""
        return "razer"

    @cached_property
    def tables(self) -> list[Table]:
        """One table per special value, in the order of their numbers."""
        values = minifloat_table(E2M1).values
        return [Table(tuple(sorted({*values, special}))) for special in self.specials]

    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return codes, block scales, special values and the tensor's scale."""
        blocks = (shape[0], block_count(shape[1], self.scale_block))
        parts = {"codes": StoredPart(shape, 4), "scales": StoredPart(blocks, 6)}
        return parts | {"special": StoredPart(blocks, 2), "tensor": StoredPart((1,), 32)}

    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Try every special value for every block."""
        tensor = tensor_scale(weights, minifloat_table(E2M1).limit * E3M3[-1])
        largest = absmax(weights, self.scale_block) / tensor
        scales = np.stack([e3m3(largest / np.float32(t.limit)) for t in self.tables])
        errors = [
            table.errors(weights, moments.importance, from_e3m3(s) * tensor, self.scale_block)
            for table, s in zip(self.tables, scales, strict=True)
        ]
        special = np.argmin(errors, axis=0)
        kept = np.take_along_axis(scales, special[None], axis=0)[0]
        codes = self._codes(weights, special, from_e3m3(kept) * tensor)
        blocks = {"scales": kept, "special": special.astype(np.uint8)}
        return {"codes": codes, **blocks, "tensor": tensor}

    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Return both scales times the entry of the block's table."""
        special = per_column(parts["special"], self.scale_block, shape[1])
        values = np.stack([t.array for t in self.tables])[special, parts["codes"]]
        scales = from_e3m3(parts["scales"]) * parts["tensor"]
        weights: np.ndarray = values * per_column(scales, self.scale_block, shape[1])
        return weights

    def _codes(self, weights: np.ndarray, special: np.ndarray, scales: np.ndarray) -> np.ndarray:
        chosen = per_column(special, self.scale_block, weights.shape[1])
        every = [table.codes(weights, scales, self.scale_block) for table in self.tables]
        return np.choose(chosen, every)
