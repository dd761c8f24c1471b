"""pack and unpack against the specification."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amssim import (
    InputError,
    Minifloat,
    Scheme,
    layout,
    pack,
    reference,
    schemes,
    testing,
    unpack,
)
from oracles import bits_by_hand


def any_scheme():
    return testing.schemes() | st.builds(Scheme, testing.minifloats(), st.integers(1, 64))


@pytest.mark.parametrize("form", schemes(), ids=str)
def test_all_half_words(form):
    blocks = layout.layout(form)
    words = np.arange(2**16, dtype=np.uint16)
    words = np.resize(words, (3, -(-words.size // (3 * blocks.block_words)) * blocks.block_words))
    columns = words.shape[1] // blocks.block_words * blocks.block_weights
    codes = unpack(words, form, columns)
    assert np.array_equal(codes, reference.unpack(words, form, columns))
    assert np.array_equal(pack(codes, form), words)


@given(st.data())
@settings(max_examples=150)
def test_any_scheme_and_width(data):
    form = data.draw(any_scheme())
    columns = data.draw(st.integers(1, 90) | st.sampled_from([16 * form.k, 16 * form.k + 1]))
    words = data.draw(testing.packed_words(form, shape=(2, columns)))
    codes = unpack(words, form, columns)
    assert np.array_equal(codes, reference.unpack(words, form, columns))
    assert pack(codes, form).tolist() == [bits_by_hand(row, form) for row in codes]


@pytest.mark.parametrize("form", [Scheme(Minifloat(2, 3), 3), Scheme(Minifloat(2, 2), 4)], ids=str)
def test_rows_of_several_chunks_and_threads(form):
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**16, (40, layout.layout(form).row_words(7301)), dtype=np.uint16)
    codes = unpack(words, form, 7301, threads=1)
    assert np.array_equal(codes, reference.unpack(words, form, 7301))
    packed = pack(codes, form, threads=1)
    assert np.array_equal(packed, reference.pack(codes, form))
    for threads in (2, 5):
        assert np.array_equal(unpack(words, form, 7301, threads=threads), codes)
        assert np.array_equal(pack(codes, form, threads=threads), packed)


def test_strides_of_the_arguments_do_not_matter():
    words = np.arange(120, dtype=np.uint16).reshape(5, 24)
    codes = unpack(words, "fp5.33", 72)
    assert np.array_equal(unpack(np.asfortranarray(words)[::-1], "fp5.33", 72), codes[::-1])
    assert np.array_equal(pack(np.asfortranarray(codes)[::-1], "fp5.33"), words[::-1])
    words.flags.writeable = codes.flags.writeable = False
    assert np.array_equal(pack(codes, "fp5.33"), words)
    assert np.array_equal(unpack(words, "fp5.33", 72), codes)


def test_results_go_where_out_says():
    codes = unpack(np.arange(68, dtype=np.uint16).reshape(2, 34), "fp4.25", 100)
    words, again = np.empty((2, 34), np.uint16), np.empty((2, 100), np.uint8)
    assert pack(codes, "fp4.25", out=words) is words
    assert unpack(words, "fp4.25", 100, out=again) is again
    assert np.array_equal(again, codes)
    with pytest.raises(InputError, match=r"out must be uint8\[2, 100\], found uint16\[2, 34\]"):
        unpack(words, "fp4.25", 100, out=words)
    with pytest.raises(InputError, match=r"out must be uint16\[2, 34\], found list"):
        pack(codes, "fp4.25", out=[])
