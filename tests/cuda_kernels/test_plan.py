"""Launch plans fit the GPU and cover the matrix, for any shape, with the arguments they give."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from amssim.launch.choose import plan_launch
from amssim.launch.geometry import BURST, GEMM, GEMM_BATCH, GEMV, GEMV_BATCH, STREAM, Gpu
from amssim.launch.stream import try_stream
from amssim.launch.warpgroup import try_warpgroup
from cuda_kernels.forms import FORMS, FP5_33
from cuda_kernels.kernel import KernelProblem, kernel_of

H200 = Gpu(132, 232_448, 90)
A100 = Gpu(108, 166_912, 80)
RTX = Gpu(128, 101_376, 89)
sizes = st.one_of(st.integers(1, 300), st.integers(1, 200_000))
splits = st.sampled_from((1, 2, 4))


def arguments_of(plan, form, rows, columns, batch):
    return kernel_of(plan).arguments_of(plan, KernelProblem(form, rows, columns, batch))


@given(st.sampled_from(FORMS), sizes, sizes, st.integers(1, GEMM_BATCH),
       st.sampled_from([H200, A100, RTX]))  # fmt: skip
def test_plans_fit_and_cover(form, rows, columns, batch, gpu):
    plan = plan_launch(gpu, form.group, rows, columns, batch)
    units, tiles = form.units(columns), form.tiles(rows)
    given_by_plan = arguments_of(plan, form, rows, columns, batch)
    assert plan.shared_bytes <= gpu.shared_bytes
    assert plan.splits == 1 or gpu.capability >= 90
    assert (plan.splits - 1) * plan.slice_units < units <= plan.splits * plan.slice_units
    assert plan.blocks < 2**16
    assert batch <= plan.columns
    if plan.kernel == GEMV:
        full, most = given_by_plan["full"], given_by_plan["cluster_tiles"]
        assert 0 < full <= plan.blocks
        assert full * most + (plan.blocks - full) * (most - 1) == tiles
        assert_ranges_are_even(plan, given_by_plan)
    elif plan.kernel == GEMM:
        assert plan.blocks * 2 * plan.warps >= tiles
    elif plan.kernel == STREAM:
        assert_streams_cover(plan, given_by_plan, tiles)
    else:
        assert_warpgroups_cover(plan, tiles)


def assert_ranges_are_even(plan, given_by_plan):
    """The first ``ample`` teams have a burst more than the others: together a block's bursts."""
    share, ample = given_by_plan["share"], given_by_plan["ample"]
    n, teams = given_by_plan["slice_units"], plan.warps // plan.team
    most = given_by_plan["cluster_tiles"] * n
    assert 0 < ample <= teams
    assert teams * share - (teams - ample) * BURST == most
    divisors = {"per_tile": n, "per_share": share, "per_less": share - BURST}
    for i in (0, share - 1, ample * share, n, most - 1):
        for name, divisor in divisors.items():
            assert i * given_by_plan[name] >> 32 == (i // divisor if divisor else 0)


def assert_streams_cover(plan, given_by_plan, tiles):
    full, most = given_by_plan["full"], plan.warps // plan.team
    assert plan.warps == plan.team * most, "each row tile has a team"
    assert 0 < full <= plan.blocks
    assert full * most + (plan.blocks - full) * (most - 1) == tiles


def assert_warpgroups_cover(plan, tiles):
    assert plan.warps % (4 * plan.groups) == 0, "groups are whole warpgroups"
    assert plan.slice_units % (4 * plan.groups) == 0, "slices are whole rounds"
    assert plan.block_tiles <= 2 * plan.warps // plan.groups
    assert (plan.blocks - 1) * plan.block_tiles < tiles <= plan.blocks * plan.block_tiles


@given(st.sampled_from(FORMS), sizes, sizes, st.integers(1, GEMM_BATCH), splits,
       st.sampled_from([(4, 1), (8, 2), (12, 3), (16, 1), (16, 4)]))  # fmt: skip
def test_every_shape_of_warpgroups_fits_and_covers(form, rows, columns, batch, splits, shape):
    plan = try_warpgroup(H200, form.group, rows, columns, batch, *shape, splits)
    assume(plan.kernel)  # it fits, most often; that none does would be an error here
    assert plan.shared_bytes <= H200.shared_bytes
    assert batch <= plan.columns
    assert_warpgroups_cover(plan, form.tiles(rows))


@given(st.sampled_from(FORMS), sizes, sizes, st.integers(1, GEMV_BATCH), splits,
       st.integers(1, 32), st.integers(1, 4))  # fmt: skip
def test_every_shape_of_streams_fits_and_covers(form, rows, columns, batch, splits, warps, depth):
    plan = try_stream(H200, form.group, rows, columns, batch, warps, depth, splits)
    assume(plan.kernel)
    assert plan.shared_bytes <= H200.shared_bytes
    assert plan.warps <= warps
    given_by_plan = arguments_of(plan, form, rows, columns, batch)
    assert_streams_cover(plan, given_by_plan, form.tiles(rows))


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_large_layers_fill_the_gpu(form):
    for rows, columns in ((57344, 8192), (28672, 4096), (16384, 16384), (8192, 28672)):
        plan = plan_launch(H200, form.group, rows, columns, 1)
        assert plan.blocks % 132 == 0, "every multiprocessor has the same number of blocks"


def test_shapes_that_must_fit_do():
    """The two properties above would hold of no plan at all."""
    for batch, warps, groups in ((5, 8, 1), (16, 12, 3), (64, 16, 1)):
        for form in FORMS:
            assert try_warpgroup(H200, form.group, 8192, 8192, batch, warps, groups, 1).kernel
    for batch, depth in ((3, 3), (8, 2), (16, 1)):
        assert try_stream(H200, FP5_33.group, 8192, 8192, batch, 16, depth, 2).kernel
