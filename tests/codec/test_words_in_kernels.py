"""Octets, streams and group bits against Python's whole numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from amssim import Minifloat, Scheme, testing
from amssim.codec import encoding, packing, words
from amssim.codec.constants import layout_numbers
from amssim.codec.packing import Chunk
from oracles import bits_by_hand

WIDTHS = range(1, 9)
FIELDS = st.lists(st.integers(0, 255), min_size=8, max_size=8)


@njit
def close_up(fields, width):
    return words.together(fields, width)


@njit
def spread_out(bits, width):
    return words.apart(bits, width)


@njit
def joined(low, high, width):
    return words.join(low, high, width)


@njit
def halved(first, second, width):
    return words.halve(first, second, width)


def as_bytes(fields):
    return np.uint64(sum(f << 8 * i for i, f in enumerate(fields)))


def as_bits(fields, width):
    return sum(f << width * i for i, f in enumerate(fields))


@given(FIELDS, st.sampled_from(WIDTHS))
def test_fields_close_up_and_spread_out(fields, width):
    fields = [f % 2**width for f in fields]
    together = close_up(as_bytes(fields), np.uint64(width))
    assert int(together) == as_bits(fields, width)
    assert int(spread_out(np.uint64(together), np.uint64(width))) == int(as_bytes(fields))


@given(FIELDS, st.sampled_from(WIDTHS), st.integers(0, 2**64 - 1))
def test_bits_past_the_eighth_field_are_ignored(fields, width, others):
    fields = [f % 2**width for f in fields]
    bits = as_bits(fields, width) | others << 8 * width & 2**64 - 1
    assert int(spread_out(np.uint64(bits), np.uint64(width))) == int(as_bytes(fields))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.sampled_from(WIDTHS))
def test_two_octets_join_to_one_number(low, high, width):
    low, high = low % 2 ** (8 * width), high % 2 ** (8 * width)
    first, second = joined(np.uint64(low), np.uint64(high), np.uint64(width))
    assert int(first) | int(second) << 64 == low | high << 8 * width
    again = halved(np.uint64(first), np.uint64(second), np.uint64(width))
    assert [int(half) % 2 ** (8 * width) for half in again] == [low, high]


@njit
def packed_chunk(chunk, count, layout, half_words):
    packing.pack_chunk(chunk, count, layout, half_words)


@njit
def unpacked_chunk(half_words, count, layout, chunk):
    packing.unpack_chunk(half_words, count, layout, chunk)


def filled_chunk(scheme, codes):
    chunk = Chunk.of(layout_numbers(scheme))
    chunk.codes[: len(codes)] = codes
    groups = -(-len(codes) // scheme.k)
    chunk.bits[:groups] = codes[:: scheme.k] & 1
    return chunk


def codes_of(scheme, count, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**scheme.minifloat.bits, count).astype(np.uint8)
    if scheme.k == 1:
        return codes
    shared = np.repeat(rng.integers(0, 2, -(-count // scheme.k)), scheme.k)[:count]
    return (codes & 0xFE | shared).astype(np.uint8)


@given(st.data())
@settings(max_examples=150)
def test_a_chunk_is_packed_as_the_format_says(data):
    scheme = data.draw(
        testing.schemes() | st.builds(Scheme, testing.minifloats(), st.integers(1, 64))
    )
    layout = layout_numbers(scheme)
    count = data.draw(st.integers(1, min(400, layout.chunk_weights)))
    codes = codes_of(scheme, count, seed=count)
    expected = bits_by_hand(codes, scheme)
    half_words = np.full(len(expected) + 3, 0xABCD, np.uint16)
    chunk = filled_chunk(scheme, codes)
    chunk.codes[count:] = 0xFF  # what an earlier chunk left
    packed_chunk(chunk, count, layout, half_words)
    assert half_words.tolist() == [*expected, 0xABCD, 0xABCD, 0xABCD]
    chunk = Chunk.of(layout)
    unpacked_chunk(half_words[: len(expected)], count, layout, chunk)
    assert np.array_equal(chunk.codes[:count], codes)


@pytest.mark.parametrize("form", [(2, 3, 3), (2, 2, 4), (2, 3, 1), (1, 1, 64), (4, 3, 8)])
def test_a_whole_chunk_fits_its_room(form):
    x, y, k = form
    scheme = Scheme(Minifloat(x, y), k)
    layout = layout_numbers(scheme)
    codes = codes_of(scheme, layout.chunk_weights)
    half_words = np.empty(layout.chunk_weights // layout.block_weights * layout.block_words, "u2")
    packed_chunk(filled_chunk(scheme, codes), layout.chunk_weights, layout, half_words)
    assert half_words.tolist() == bits_by_hand(codes, scheme)


@njit
def elected(votes, groups, k, bits):
    encoding.elect(votes, groups, k, bits)


@njit
def group_bits(codes, groups, k, bits):
    packing.first_bits(codes, groups, k, bits)


@njit
def member_bits(bits, groups, k, members):
    packing.bits_to_members(bits, groups, k, members)


@given(st.integers(1, 64), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_groups_of_every_size(k, groups, seed):
    rng = np.random.default_rng(seed)
    codes, bits = rng.integers(0, 256, groups * k).astype(np.uint8), np.empty(groups, np.uint8)
    group_bits(codes, groups, k, bits)
    assert np.array_equal(bits, codes[::k] & 1)
    members = np.full(groups * k + 1, 7, np.uint8)
    member_bits(bits, groups, k, members)
    assert members.tolist() == [*np.repeat(bits, k), 7]


@given(st.integers(1, 64), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_a_group_takes_one_where_its_votes_are_negative_added_from_left_to_right(k, groups, seed):
    rng = np.random.default_rng(seed)
    votes = (rng.standard_normal((groups, k)) * 10.0 ** rng.integers(-8, 9, (groups, k))).astype(
        "f4"
    )
    bits = np.empty(groups, np.uint8)
    elected(votes.reshape(-1), groups, k, bits)
    for group, bit in zip(votes, bits, strict=True):
        total = group[0]
        for vote in group[1:]:
            total = np.float32(total + vote)
        assert bit == (total < 0)


def test_a_tie_of_votes_takes_zero():
    bits = np.empty(3, np.uint8)
    elected(np.float32([1, -1, 0, 0, -2, 2]), 3, 2, bits)
    assert bits.tolist() == [0, 0, 0]


@njit
def committed(codes, members, count, sign):
    encoding.commit(codes, members, count, sign)


def test_every_draft_becomes_the_code_of_the_chosen_bit():
    """Of E2M3: 5 bits below the sign, so that drafts are all bytes below 64."""
    drafts = np.array([d for d in range(64) if d % 32 > 1 or not d & 1], np.uint8)
    for bit in (0, 1):
        codes, members = drafts.copy(), np.full(drafts.size, bit, np.uint8)
        committed(codes, members, drafts.size, np.uint8(32))
        for draft, code in zip(drafts.tolist(), codes.tolist(), strict=True):
            even = draft & ~1
            chosen = even if not bit else even + 1 - 2 * (draft & 1)
            assert code == (0 if chosen == 32 else chosen)
