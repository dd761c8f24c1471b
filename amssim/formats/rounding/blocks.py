"""Blocks: runs of columns that share a scale. The last block of a row may be shorter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amssim.codec.constants import SMALLEST_SCALE
from amssim.errors import InputError, SchemeError

FLOAT16 = np.finfo(np.float16)


def check_positive(**sizes: int) -> None:
    """Raise `SchemeError` for a size or a width that is not a positive whole number."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise SchemeError(f"{name} must be a positive whole number, found {size!r}")


def check_filled(**lists: Sequence[object]) -> None:
    """Raise `SchemeError` for a list of candidates without one."""
    for name, candidates in lists.items():
        if not len(candidates):
            raise SchemeError(f"{name} must have at least one entry")


def check_width(form: str, bits: int, least: int, most: int) -> None:
    """Raise `SchemeError` unless ``bits`` is a whole number from ``least`` to ``most``."""
    check_positive(bits=bits)
    if not least <= bits <= most:
        raise SchemeError(f"{form} takes {least} to {most} bits, found {bits}")


def block_count(cols: int, block: int) -> int:
    """Blocks of a row."""
    return -(-cols // block)


def in_blocks(matrix: np.ndarray, block: int) -> np.ndarray:
    """[rows, cols] -> [rows, blocks, block], filled up with zeros."""
    rows, cols = matrix.shape
    return np.pad(matrix, ((0, 0), (0, -cols % block))).reshape(rows, -1, block)


def per_column(per_block: np.ndarray, block: int, cols: int) -> np.ndarray:
    """[rows, blocks] -> [rows, cols], each block's number at its columns."""
    return np.repeat(per_block, block, axis=1)[:, :cols]


def absmax(weights: np.ndarray, block: int) -> np.ndarray:
    """float32[rows, blocks] largest magnitude of each block."""
    largest: np.ndarray = np.abs(in_blocks(weights, block)).max(axis=2)
    return largest


def scales_to_limit(weights: np.ndarray, block: int, limit: float) -> np.ndarray:
    """float32[rows, blocks] largest magnitude / ``limit``; 1 for zeros, no subnormal number."""
    largest = absmax(weights, block)
    scales = np.maximum(largest / np.float32(limit), SMALLEST_SCALE)
    return np.where(largest == 0, np.float32(1), scales).astype(np.float32)


def extremes(weights: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """float32[rows, blocks] least and greatest weight of each block, zero counted in."""
    blocks = in_blocks(weights, block)
    return np.minimum(blocks.min(axis=2), 0), np.maximum(blocks.max(axis=2), 0)


def half_scales(scales: np.ndarray) -> np.ndarray:
    """Round scales to float16; zero, of an empty block, becomes 1, and none becomes zero.

    Raises:
        InputError: a scale beyond float16.
    """
    smallest = np.copysign(FLOAT16.smallest_subnormal, scales)
    rounded = half_values(scales)
    rounded = np.where(rounded == 0, smallest, rounded)
    return np.where(scales == 0, np.float16(1), rounded).astype(np.float16)


def half_values(values: np.ndarray) -> np.ndarray:
    """Round to float16.

    Raises:
        InputError: a value beyond float16.
    """
    largest = np.abs(values).max(initial=0)
    if largest > FLOAT16.max:
        raise InputError(
            f"the weights need a float16 number of {largest:.3g}, and float16 ends at "
            f"{FLOAT16.max:.6g}: divide them by a power of two first"
        )
    return values.astype(np.float16)
