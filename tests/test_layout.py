import pytest
from hypothesis import given

from amssim import scheme, testing
from amssim.layout import Layout, layout


@given(testing.schemes(max_k=64))
def test_fields_tile_the_block_without_gap_or_overlap(s):
    form = layout(s)
    end = 0
    for part in form.fields:
        assert part.offset == end
        end += part.width
    assert end == 16 * form.block_words
    assert sum(f.kind == "top" for f in form.fields) == form.block_weights
    assert sum(f.kind == "shared" for f in form.fields) == (form.block_groups if s.k > 1 else 0)


@pytest.mark.parametrize(
    ("name", "fused", "weights", "words"),
    [
        ("fp5.33-e2m3", True, 3, 1),
        ("fp5.33-e3m2", True, 3, 1),
        ("ams-e2m1-k5", True, 5, 1),
        ("fp4.25-e2m2", False, 64, 17),
        ("fp6-e2m3", False, 16, 6),
        ("fp4-e2m1", False, 16, 4),
        ("fp4.5-e2m2", False, 32, 9),
        ("fp5.125-e2m3", False, 128, 41),
    ],
)
def test_block_sizes(name, fused, weights, words):
    form = layout(scheme(name))
    assert (form.fused, form.block_weights, form.block_words) == (fused, weights, words)


@given(testing.schemes(max_k=64), testing.shapes(max_columns=300))
def test_row_sizes(s, shape):
    form, columns = Layout(s), shape[1]
    padded = form.padded_columns(columns)
    assert 0 <= padded - columns < form.block_weights
    assert form.row_words(columns) * form.block_weights == padded * form.block_words
    assert (form.row_groups(columns) - 1) * s.k < columns <= form.row_groups(columns) * s.k


@given(testing.schemes(max_k=64))
def test_whole_blocks_hold_exactly_the_payload_bits(s):
    form = layout(s)
    assert 16 * form.block_words == s.bits * form.block_weights
