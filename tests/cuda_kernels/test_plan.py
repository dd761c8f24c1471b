"""Launch plans fit the GPU and cover the matrix, for any shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim.launch.geometry import BURST, GEMM_BATCH, GEMV_BATCH
from cuda_kernels.forms.form import FORMS
from cuda_kernels.launches import (
    GemmLaunch,
    GemvLaunch,
    Gpu,
    StreamLaunch,
    launch,
    try_stream,
    try_warpgroup,
)

H200 = Gpu(132, 232_448, (9, 0))
A100 = Gpu(108, 166_912, (8, 0))
RTX = Gpu(128, 101_376, (8, 9))
sizes = st.one_of(st.integers(1, 300), st.integers(1, 200_000))


@given(st.sampled_from(FORMS), sizes, sizes, st.integers(1, GEMM_BATCH),
       st.sampled_from([H200, A100, RTX]))  # fmt: skip
def test_plans_fit_and_cover(form, rows, columns, batch, gpu):
    found = launch(form, rows, columns, batch, gpu)
    splits, blocks = found.grid
    units, tiles = form.units(columns), form.tiles(rows)
    assert found.shared_bytes <= gpu.shared_bytes
    assert splits == 1 or gpu.hopper
    assert (splits - 1) * found.slice_units < units <= splits * found.slice_units
    assert blocks < 2**16
    if isinstance(found, GemvLaunch):
        assert batch <= 8 * found.columns
        fewer = blocks - found.full
        assert 0 < found.full <= blocks
        assert found.full * found.cluster_tiles + fewer * (found.cluster_tiles - 1) == tiles
        assert_ranges_are_even(found)
    elif isinstance(found, GemmLaunch):
        assert batch <= 8 * found.columns
        assert blocks * 2 * found.warps >= tiles
    elif isinstance(found, StreamLaunch):
        assert_streams_cover(found, batch, tiles)
    else:
        assert_warpgroups_cover(found, batch, tiles)


def assert_ranges_are_even(found):
    """The first ``ample`` teams have a burst more than the others: together a block's bursts."""
    teams, most = found.threads // 32 // found.team, found.cluster_tiles * found.slice_units
    assert 0 < found.ample <= teams
    assert teams * found.share - (teams - found.ample) * BURST == most
    divisors = (found.slice_units, found.share, found.share - BURST)
    for i in (0, found.share - 1, found.ample * found.share, found.slice_units, most - 1):
        for divisor, reciprocal in zip(divisors, found.reciprocals, strict=True):
            assert i * reciprocal >> 32 == (i // divisor if divisor else 0)


def assert_streams_cover(found, batch, tiles):
    blocks, most = found.grid[1], found.warps // found.team
    assert batch <= 8 * found.columns
    assert found.warps == found.team * most, "each row tile has a team"
    assert 0 < found.full <= blocks
    assert found.full * most + (blocks - found.full) * (most - 1) == tiles


def assert_warpgroups_cover(found, batch, tiles):
    blocks = found.grid[1]
    assert batch <= 8 * found.columns
    assert found.warps % (4 * found.groups) == 0, "groups are whole warpgroups"
    assert found.slice_units % (4 * found.groups) == 0, "slices are whole rounds"
    assert found.block_tiles <= 2 * found.warps // found.groups
    assert (blocks - 1) * found.block_tiles < tiles <= blocks * found.block_tiles


@given(st.sampled_from(FORMS), sizes, sizes, st.integers(1, GEMM_BATCH), st.sampled_from((1, 2, 4)),
       st.sampled_from([(4, 1), (8, 2), (12, 3), (16, 1), (16, 4)]))  # fmt: skip
def test_every_shape_of_warpgroups_fits_and_covers(form, rows, columns, batch, splits, shape):
    warps, groups = shape
    options = {"warps": warps, "groups": groups, "splits": splits}
    found = try_warpgroup(form, rows, columns, batch, H200, **options)
    if found:
        assert found.shared_bytes <= H200.shared_bytes
        assert_warpgroups_cover(found, batch, form.tiles(rows))


@given(st.sampled_from(FORMS), sizes, sizes, st.integers(1, GEMV_BATCH), st.sampled_from((1, 2, 4)),
       st.integers(1, 32), st.integers(1, 4))  # fmt: skip
def test_every_shape_of_streams_fits_and_covers(form, rows, columns, batch, splits, warps, depth):
    options = {"warps": warps, "depth": depth, "splits": splits}
    found = try_stream(form, rows, columns, batch, H200, **options)
    if found:
        assert found.shared_bytes <= H200.shared_bytes
        assert found.warps <= warps
        assert_streams_cover(found, batch, form.tiles(rows))


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_large_layers_fill_the_gpu(form):
    for rows, columns in ((57344, 8192), (28672, 4096), (16384, 16384), (8192, 28672)):
        found = launch(form, rows, columns, 1, H200)
        assert found.grid[1] % 132 == 0, "every multiprocessor has the same number of blocks"
