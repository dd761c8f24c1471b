"""Covers: products of slices of a row add up to its product, however it is cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim import InputError, reference, scheme, testing
from amssim.layout import cover, layout


def taken(array, part):
    """Columns ``part`` of an array [rows, n]; zeros for those that it does not have."""
    inside = array[:, part.start : part.stop]
    return np.pad(inside, ((0, 0), (0, len(part) - inside.shape[1])))


def product_of_slice(words, scales, s, x, start, stop, scale_block):
    """What columns start to stop add to the product, by their cover alone."""
    part = cover(layout(s), start, stop, scale_block=scale_block)
    padded = np.pad(x[start:stop], (part.skip, part.behind))
    assert len(padded) == len(part.columns)
    return reference.gemv(
        taken(words, part.words), taken(scales, part.scales), s, padded, scale_block
    )


def whole_and_slices(s, columns, cuts, scale_block, seed):
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 2**16, (3, layout(s).row_words(columns)), dtype=np.uint16)
    blocks = -(-columns // scale_block) if scale_block else 1
    scales = np.exp2(rng.integers(-4, 5, (3, blocks))).astype(np.float32)
    x = rng.integers(-8, 9, columns).astype(np.float64)
    edges = [0, *cuts, columns]
    slices = [
        product_of_slice(words, scales, s, x, start, stop, scale_block)
        for start, stop in pairwise(edges)
    ]
    return reference.gemv(words, scales, s, x, scale_block), np.sum(slices, axis=0)


@st.composite
def cut_rows(draw):
    """A scheme, columns, where they are cut, a scale block."""
    columns = draw(st.integers(2, 500))
    cuts = draw(st.lists(st.integers(1, columns - 1), unique=True, max_size=4).map(sorted))
    scale_block = draw(st.none() | st.integers(1, columns - 1))
    return draw(testing.schemes()), columns, cuts, scale_block


@given(cut_rows(), st.integers(0, 2**32 - 1))
def test_products_of_slices_add_up_to_the_product(case, seed):
    """Bits of the padding are random too: x is zero there."""
    whole, summed = whole_and_slices(*case, seed)
    np.testing.assert_allclose(summed, whole, rtol=1e-12, atol=1e-9 * np.abs(whole).max())


@given(cut_rows())
def test_covers_hold_what_was_asked_for_in_whole_blocks(case):
    s, columns, cuts, scale_block = case
    form, edges = layout(s), [0, *cuts, columns]
    for start, stop in pairwise(edges):
        part = cover(form, start, stop, scale_block=scale_block)
        assert part.columns.start + part.skip == start
        assert part.columns.stop - part.behind == stop
        assert part.skip >= 0 and part.behind >= 0
        assert part.columns.start % form.block_weights == 0
        assert len(part.words) == form.row_words(len(part.columns))
        assert part.columns.start % 8 == len(part.columns) % 8 == 0
        blocks = -(-len(part.columns) // scale_block) if scale_block else 1
        assert len(part.scales) == blocks
        assert part.columns.start % (scale_block or 1) == 0


MODELS = (4096, 14336, 28672, 12288, 25600, 768)  # columns of layers of published models


@pytest.mark.parametrize("name", ["fp5.33", "fp4.25"])
@pytest.mark.parametrize("ranks", [2, 4, 8])
@pytest.mark.parametrize("columns", MODELS)
def test_layers_of_published_models_can_be_cut(columns, ranks, name):
    size = columns // ranks
    cuts = range(size, columns, size)
    whole, summed = whole_and_slices(scheme(name), columns, cuts, None, columns)
    np.testing.assert_allclose(summed, whole, rtol=1e-12)
    worst = max(len(cover(layout(scheme(name)), c, c + size).columns) for c in (0, *cuts))
    assert worst < size + 2 * {"fp5.33": 24, "fp4.25": 64}[name]


@pytest.mark.parametrize(
    ("name", "columns", "ranks", "exact"),
    [
        ("fp5.33", 12288, 8, True),
        ("fp5.33", 4096, 2, False),
        ("fp5.33", 768, 8, True),
        ("fp4.25", 28672, 8, True),
        ("fp4.25", 768, 4, True),
        ("fp4.25", 768, 8, False),
    ],
)
def test_where_whole_blocks_are_cut_nothing_is_added(name, columns, ranks, exact):
    size = columns // ranks
    parts = [cover(layout(scheme(name)), c, c + size) for c in range(0, columns, size)]
    assert exact == all(part.skip == part.behind == 0 for part in parts)


@pytest.mark.parametrize("wrong", [(3, 3), (4, 3), (-1, 3)])
def test_there_is_something_to_cover(wrong):
    with pytest.raises(InputError, match="no columns to cover"):
        cover(layout(scheme("fp5.33")), *wrong)


def test_a_scale_block_has_columns():
    with pytest.raises(InputError, match="scale_block 0"):
        cover(layout(scheme("fp5.33")), 0, 3, scale_block=0)
