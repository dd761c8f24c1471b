import numpy as np
import pytest
from cpu_cases import packed_codes

from amssim import reference
from amssim.cpu.fp533 import COLUMNS, FORM, TILE_WORDS, from_tiles, to_tiles
from amssim.scheme import FP5_33

EVERY_WORD = np.arange(65536, dtype=np.uint16)[None]
EVERY_BIT = np.packbits(np.eye(16 * TILE_WORDS, dtype=bool), axis=1).view(np.uint16)


def test_every_half_word_comes_back():
    assert (from_tiles(to_tiles(EVERY_WORD), 65536) == EVERY_WORD).all()
    assert (to_tiles(from_tiles(EVERY_WORD, 65536)) == EVERY_WORD).all()


def test_every_bit_of_a_tile_moves_to_a_bit_of_its_own():
    moved = to_tiles(EVERY_BIT)
    assert (np.bitwise_count(moved).sum(axis=1) == 1).all()
    assert (np.bitwise_or.reduce(moved, axis=0) == 0xFFFF).all()
    assert (from_tiles(moved, TILE_WORDS) == EVERY_BIT).all()


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 63, 64, 65, 130])
def test_rows_are_padded_to_whole_tiles_with_zeros(count):
    words = np.random.default_rng(count).integers(0, 65536, (70, count), np.uint16)
    tiled = to_tiles(words)
    assert tiled.shape == (70, -(-count // TILE_WORDS) * TILE_WORDS)
    assert (from_tiles(tiled, count) == words).all()
    assert not from_tiles(tiled, tiled.shape[1])[:, count:].any()


def test_the_planes_hold_what_the_module_says():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 64, (3, 2 * COLUMNS), np.uint8)
    codes = (codes & 0x3E) | np.repeat(codes[:, ::3] & 1, 3, axis=1)
    packed = packed_codes(codes, FP5_33)
    planes = to_tiles(packed.words).view(np.uint8).reshape(3, 2, 4, 32)
    vectors = codes[:, FORM.vector_columns(2 * COLUMNS)].reshape(3, 2, 6, 32)
    for v in range(6):
        nibble = planes[:, :, v // 2] >> 4 * (v % 2) & 15
        sign = planes[:, :, 3] >> v & 1
        shared = planes[:, :, 3] >> 6 + v // 3 & 1
        assert (vectors[:, :, v] == sign << 5 | nibble << 1 | shared).all()


def test_the_words_are_those_of_the_specification():
    codes = np.zeros((1, COLUMNS), np.uint8)
    codes[0, 3 * (32 + 5) + 1] = 0b111110  # group 37, weight 1: vector 4, lane 5
    tile = to_tiles(reference.pack(codes, FP5_33)).view(np.uint8).reshape(4, 32)
    assert {(p, i): int(tile[p, i]) for p, i in np.argwhere(tile)} == {(2, 5): 15, (3, 5): 1 << 4}
