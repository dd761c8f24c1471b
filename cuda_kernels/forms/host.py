"""Codes <-> the words of a kernel form, vectorised on the CPU; each direction undoes the other.

Which bit of a word belongs to which weight follows from the decoders alone: a word is what they
turn into the wanted half2 registers.
"""

from __future__ import annotations

import numpy as np

from amssim.launch.geometry import BURST, TILE_ROWS
from cuda_kernels.forms.bits import ror
from cuda_kernels.forms.form import Form

#: the shared bits of a word's two halves, where decoders take them
_SHARED = 0x01000100


def pack_form(codes: np.ndarray, form: Form) -> tuple[np.ndarray, np.ndarray]:
    """uint8[rows, columns] codes of the form's minifloat -> its words and tails.

    Returns:
        words uint32[tiles, units, 32 lanes, 4], tails uint32[tiles, bursts, 32] (empty where the
        form keeps shared bits in the words). Padding has code 0.

    >>> from cuda_kernels.forms import FP5_33
    >>> codes = np.uint8([[0b000001, 0b100001, 0b111111]])
    >>> words, tails = pack_form(codes, FP5_33)
    >>> words.shape, bool((unpack_form(words, tails, FP5_33, 1, 3) == codes).all())
    ((1, 4, 32, 4), True)
    """
    rows, columns = codes.shape
    tiles, units = form.tiles(rows), form.units(columns)
    padded = np.zeros((tiles * TILE_ROWS, units * form.unit_weights), np.uint8)
    padded[:rows, :columns] = codes
    # tile, row half, g, unit, t, part, word half, slot
    fields = padded.reshape(tiles, 2, 8, units, 4, 2, 2, form.group)
    order = _word_order(form)
    words = form.host.join(fields[..., 0, :], fields[..., 1, :]).transpose(order)
    words = np.ascontiguousarray(words).reshape(tiles, units, 32, 4)
    if not form.has_tails:
        return words, np.empty((tiles, 0, 32), np.uint32)
    shared = (fields[..., 0] & 1).transpose(*order, 6)
    return words, _tails(shared.reshape(tiles, units // BURST, BURST, 32, 4, 2))


def unpack_form(
    words: np.ndarray, tails: np.ndarray, form: Form, rows: int, columns: int
) -> np.ndarray:
    """What `pack_form` took: uint8[rows, columns] codes."""
    tiles, units = words.shape[:2]
    shared = _shared(tails, words.shape) if form.has_tails else None
    slots = np.stack(form.host.split(words, shared), axis=-1)
    halves = np.stack([slots & np.uint32(0xFFFF), slots >> np.uint32(16)], axis=-2)
    codes = _codes(halves, form).reshape(tiles, units, 8, 4, 2, 2, 2, form.group)
    back = np.argsort(_word_order(form))
    codes = codes.transpose(*back, 6, 7)
    return np.ascontiguousarray(codes.reshape(tiles * TILE_ROWS, -1)[:rows, :columns])


def _word_order(form: Form) -> tuple[int, ...]:
    """Of (tile, row half, g, unit, t, part): tile, unit, lane = (g, t), and a lane's word."""
    return (0, 3, 2, 4, 1, 5) if form.host.row_half_first else (0, 3, 2, 4, 5, 1)


def _tails(shared: np.ndarray) -> np.ndarray:
    """Shared bits [tiles, bursts, unit, lane, word, half] -> uint32[tiles, bursts, lane]."""
    tails = np.zeros((*shared.shape[:2], 32), np.uint32)
    for unit in range(BURST):
        for word in range(4):
            for half in range(2):
                place = np.uint32((8 + 16 * half - 4 * unit - word) % 32)
                tails |= shared[:, :, unit, :, word, half].astype(np.uint32) << place
    return tails


def _shared(tails: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Tails -> the shared bits of each word, uint32 of the words' shape."""
    tiles, units = shape[:2]
    turned = [ror(tails, -i % 32) & np.uint32(_SHARED) for i in range(4 * BURST)]
    bits = np.stack(turned, axis=-1).reshape(tiles, units // BURST, 32, BURST, 4)
    return bits.transpose(0, 1, 3, 2, 4).reshape(shape)


def _codes(halves: np.ndarray, form: Form) -> np.ndarray:
    """float16 bits as decoded -> codes."""
    bits = form.element.bits
    magnitude = (halves >> np.uint32(12 - (bits - 1))) & np.uint32(2 ** (bits - 1) - 1)
    return (magnitude | ((halves >> np.uint32(15)) << np.uint32(bits - 1))).astype(np.uint8)
