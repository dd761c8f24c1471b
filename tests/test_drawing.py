"""A block drawn as text holds what the layout says, bit for bit."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim.drawing import draw_block
from amssim.layout import HALF_WORD_BITS, layout
from amssim.scheme import scheme, schemes


def cells(drawn: str) -> list[str]:
    """The cells of a drawing by stream bit: bit 0 of the first half-word first."""
    rows = [re.findall(r"[semb]\d+", line) for line in drawn.splitlines()[3:]]
    return [cell for row in rows for cell in reversed(row)]


@pytest.mark.parametrize("form", schemes(), ids=str)
def test_drawings_fit_a_terminal_and_name_their_letters(form):
    first, legend, head, *words = draw_block(form).splitlines()
    assert first.startswith(f"{form.name}: {layout(form).block_weights} weights in ")
    assert ("shared bit" in legend) == (form.k > 1)
    assert head.split() == ["bit", *map(str, range(15, -1, -1))]
    assert len(words) == layout(form).block_words
    assert max(map(len, (first, legend, head, *words))) <= 80


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 8))
def test_every_bit_is_drawn_where_the_layout_has_it(exponent_bits, mantissa_bits, k):
    form = scheme(f"ams-e{exponent_bits}m{mantissa_bits}-k{k}")
    drawn = cells(draw_block(form))
    assert len(drawn) == HALF_WORD_BITS * layout(form).block_words
    letters = "m" * mantissa_bits + "e" * exponent_bits + "s"  # from the lowest bit
    dropped = 1 if k > 1 else 0  # the lowest mantissa bit is the shared one
    for field in layout(form).fields:
        bits = drawn[field.offset : field.offset + field.width]
        if field.kind == "shared":
            assert bits == [f"b{field.index}"]
        else:
            assert bits == [f"{letter}{field.index}" for letter in letters[dropped:]]


def test_a_layout_as_a_dictionary_covers_the_block():
    for form in schemes():
        described = layout(form).as_dict()
        assert described["scheme"] == form.name
        spans = sorted((f["offset"], f["width"]) for f in described["fields"])
        at = 0
        for offset, width in spans:
            assert offset == at
            at += width
        assert at == HALF_WORD_BITS * described["block_half_words"]
