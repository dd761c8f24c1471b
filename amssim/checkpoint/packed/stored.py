"""The three tensors that store one quantised tensor, named as compressed-tensors names them."""

from __future__ import annotations

from typing import NamedTuple

from amssim.checkpoint.packed.manifest import Packing
from amssim.layout import layout

WORDS, SCALES, SHAPE = "_packed", "_scale", "_shape"


class Spec(NamedTuple):
    """Name, safetensors dtype and shape of a tensor to be stored."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def rows_and_columns(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of the packed matrix: matrices of a 3-D tensor are stacked."""
    *rows, columns = shape
    return rows[0] * (rows[1] if len(rows) == 2 else 1), columns


def stored_specs(name: str, shape: tuple[int, ...], packing: Packing) -> tuple[Spec, Spec, Spec]:
    """Half-words, scales and logical shape of the tensor ``name`` of 2 or 3 dimensions.

    >>> from amssim.scheme import FP5_33
    >>> for spec in stored_specs("up.weight", (4, 100), Packing(FP5_33)):
    ...     print(*spec)
    up.weight_packed U16 (4, 34)
    up.weight_scale F32 (4, 1)
    up.weight_shape I64 (2,)
    """
    rows, columns = rows_and_columns(shape)
    blocks = -(-columns // packing.scale_block) if packing.scale_block else 1
    return (
        Spec(name + WORDS, "U16", (rows, layout(packing.scheme).row_words(columns))),
        Spec(name + SCALES, "F32", (rows, blocks)),
        Spec(name + SHAPE, "I64", (len(shape),)),
    )
