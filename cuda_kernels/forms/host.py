"""Codes <-> the words of a kernel form, vectorised on the CPU; each direction undoes the other.

Which bit of a word belongs to which weight follows from the decoders alone: a word is what they
turn into the wanted half2 registers. Slots that are shifted and masked can be placed bit by bit;
those that are multiplied come from tables that invert the product (FP4.25), or from its
equations (FP5.33).
"""

from functools import lru_cache

import numpy as np

from amssim.launch.geometry import TILE_ROWS
from cuda_kernels.forms.form import FP4_25, Form
from cuda_kernels.ptx import decode as d

LOW_425 = (9, 10, 11, 15)  # where a decoded half holds the top bits of e2m2, low to high
LOW_533 = (8, 9, 10, 11, 15)
OWN_533 = (7, *LOW_533)  # with the shared bit
REST_PLACES_425 = (0, 1, 3, 4, 5, 6, 7, 8)


def scatter(value: np.ndarray, places: tuple[int, ...]) -> np.ndarray:
    """Bit i of ``value`` to bit places[i] (modulo 32), as uint32."""
    value = np.asarray(value, np.uint32)
    parts = [
        ((value >> np.uint32(i)) & np.uint32(1)) << np.uint32(p % 32) for i, p in enumerate(places)
    ]
    return np.bitwise_or.reduce(parts)


def gather(value: np.ndarray, places: tuple[int, ...]) -> np.ndarray:
    """Bit places[i] of ``value`` to bit i."""
    parts = [((value >> p) & 1) << i for i, p in enumerate(places)]
    return np.bitwise_or.reduce(parts)


@lru_cache
def tables_425() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tables that invert the multiplied slots of one half-word of FP4.25.

    Returns (placed, low, high): ``low[fields]`` and ``high[low index, fields]`` index ``placed``,
    the masked bits; ``fields`` are the slots' bits, first slot lowest. The high half sees the
    carries of the low one.
    """
    size, factors = 2 ** len(REST_PLACES_425), [np.uint64(f) for f in d.FACTORS_425]
    placed = scatter(np.arange(size), REST_PLACES_425).astype(np.uint64)

    def fields(carry):
        slots = [
            gather(placed * f + c, LOW_425) << (4 * i)
            for i, (f, c) in enumerate(zip(factors, carry, strict=True))
        ]
        return np.bitwise_or.reduce(slots)

    def inverse(carry):
        table = np.full(size, -1, np.int16)
        table[fields(carry)] = np.arange(size)
        return table

    low = inverse([np.uint64(0)] * len(factors))
    high = np.stack(
        [inverse([placed[i] * f >> np.uint64(16) for f in factors]) for i in range(size)]
    )
    if (low < 0).any() or (high < 0).any():
        raise AssertionError("the decoder's product is no bijection of the fields")
    return placed.astype(np.uint32), low, high


def rest_533(own):
    """The bits 4 to 6 and 12 to 14 of each half that `decode.own_533` turns into ``own``.

    Bits 4, 5, 6, 12, 13 and 14 become 7, 8, 9, 15, 10 and 11; bit 12 is added to bit 9, too.
    """
    rest = ((own >> 3) & 0x10701070) | ((own << 3) & 0x60006000)
    return rest ^ ((rest >> 6) & 0x00400040)


def join_425(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Top codes uint8[..., 4] of both halves -> uint32 words."""
    placed, low_table, high_table = tables_425()
    word = np.zeros(low.shape[:-1], np.uint32)
    for half, top in ((0, low), (16, high)):
        word |= scatter(top[..., 0], tuple(p + half for p in LOW_425))
        word |= scatter(top[..., 1], tuple(p + half + 3 for p in LOW_425))
    rest_low = low_table[low[..., 2] | (low[..., 3] << 4)]
    rest_high = high_table[rest_low, high[..., 2] | (high[..., 3] << 4)]
    return word | placed[rest_low] | (placed[rest_high] << np.uint32(16))


def join_533(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Codes uint8[..., 3] of both halves, the shared bit in each half's first -> uint32 words."""
    word = np.zeros(low.shape[:-1], np.uint32)
    own = np.zeros_like(word)
    for half, code in ((0, low), (16, high)):
        word |= scatter(code[..., 0] >> 1, tuple(p + half for p in LOW_533))
        word |= scatter(code[..., 1] >> 1, tuple(p + half - 8 for p in LOW_533))
        third = (code[..., 2] & 0xFE) | (code[..., 0] & 1)
        own |= scatter(third, tuple(p + half for p in OWN_533))
    return word | rest_533(own ^ d.own_533(word))


def pack(codes: np.ndarray, form: Form) -> tuple[np.ndarray, np.ndarray]:
    """uint8[rows, columns] codes of the form's minifloat -> its words and tails.

    Returns:
        words uint32[tiles, units, 32 lanes, 4], tails uint32[tiles, bursts, 32] (empty where the
        form keeps shared bits in the words). Padding has code 0.

    >>> from cuda_kernels.forms.form import FP5_33
    >>> codes = np.uint8([[0b000001, 0b100001, 0b111111]])
    >>> words, tails = pack(codes, FP5_33)
    >>> words.shape, bool((unpack(words, tails, FP5_33, 1, 3) == codes).all())
    ((1, 4, 32, 4), True)
    """
    rows, columns = codes.shape
    tiles, units = form.tiles(rows), form.units(columns)
    padded = np.zeros((tiles * TILE_ROWS, units * form.unit_weights), np.uint8)
    padded[:rows, :columns] = codes
    # tile, row half, g, unit, t, sub, word half, slot
    fields = padded.reshape(tiles, 2, 8, units, 4, 2, 2, form.group)
    if form is not FP4_25:
        words = join_533(fields[..., 0, :], fields[..., 1, :])
        words = words.transpose(0, 3, 2, 4, 1, 5)  # tile, unit, g, t, row half, sub
        empty = np.empty((tiles, 0, 32), np.uint32)
        return np.ascontiguousarray(words).reshape(tiles, units, 32, 4), empty
    words = join_425(fields[..., 0, :] >> 1, fields[..., 1, :] >> 1)
    words = words.transpose(0, 3, 2, 4, 5, 1)  # tile, unit, g, t, sub, row half
    shared = (fields[..., 0] & 1).transpose(0, 3, 2, 4, 5, 1, 6)
    shared = shared.reshape(tiles, units // 4, 4, 32, 4, 2)
    return np.ascontiguousarray(words).reshape(tiles, units, 32, 4), _tails(shared)


def _tails(shared: np.ndarray) -> np.ndarray:
    """Shared bits [tiles, bursts, unit, lane, word, half] -> uint32[tiles, bursts, lane]."""
    tails = np.zeros((*shared.shape[:2], 32), np.uint32)
    for unit in range(4):
        for word in range(4):
            for half in range(2):
                place = np.uint32((8 + 16 * half - 4 * unit - word) % 32)
                tails |= shared[:, :, unit, :, word, half].astype(np.uint32) << place
    return tails


def unpack(words, tails, form: Form, rows: int, columns: int) -> np.ndarray:
    """What `pack` took: uint8[rows, columns] codes."""
    tiles, units = words.shape[:2]
    if form is FP4_25:
        shared = np.stack([_shared(tails, i) for i in range(16)], axis=-1)
        shared = shared.reshape(tiles, units // 4, 32, 4, 4).transpose(0, 1, 3, 2, 4)
        slots = d.slots_425(words, shared.reshape(tiles, units, 32, 4))
    else:
        slots = d.slots_533(words)
    slots = np.stack(slots, axis=-1)
    halves = np.stack([slots & np.uint32(0xFFFF), slots >> np.uint32(16)], axis=-2)
    codes = _codes(halves, form).reshape(tiles, units, 8, 4, 2, 2, 2, form.group)
    # tile, unit, g, t, then (sub, row half) or (row half, sub), half, slot
    row_half, sub = (5, 4) if form is FP4_25 else (4, 5)
    codes = codes.transpose(0, row_half, 2, 1, 3, sub, 6, 7)
    return np.ascontiguousarray(codes.reshape(tiles * TILE_ROWS, -1)[:rows, :columns])


def _shared(tails: np.ndarray, i: int) -> np.ndarray:
    return d.ror(tails, -i % 32) & np.uint32(d.SHARED_425)


def _codes(halves: np.ndarray, form: Form) -> np.ndarray:
    """float16 bits as decoded -> codes."""
    bits = form.element.bits
    magnitude = (halves >> np.uint32(12 - (bits - 1))) & np.uint32(2 ** (bits - 1) - 1)
    return (magnitude | ((halves >> np.uint32(15)) << np.uint32(bits - 1))).astype(np.uint8)
