"""Bits of words on the CPU: placed, taken and turned."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def place_bits(value: npt.ArrayLike, places: tuple[int, ...]) -> np.ndarray:
    """Bit i of ``value`` to bit places[i] (modulo 32), as uint32.

    >>> int(place_bits(0b101, (4, 5, 33)))
    18
    """
    bits = np.asarray(value, np.uint32)
    parts = [
        ((bits >> np.uint32(i)) & np.uint32(1)) << np.uint32(p % 32) for i, p in enumerate(places)
    ]
    return np.asarray(np.bitwise_or.reduce(parts))


def take_bits(value: np.ndarray, places: tuple[int, ...]) -> np.ndarray:
    """Bit places[i] of ``value`` to bit i: the inverse of `place_bits`.

    >>> int(take_bits(np.uint32(18), (4, 5, 1)))
    5
    """
    parts = [((value >> p) & 1) << i for i, p in enumerate(places)]
    return np.asarray(np.bitwise_or.reduce(parts))


def ror(word: npt.ArrayLike, count: int) -> np.ndarray:
    """Rotate 32-bit words right."""
    bits = np.asarray(word, np.uint32)
    return (bits >> np.uint32(count)) | (bits << np.uint32(32 - count)) if count else bits
