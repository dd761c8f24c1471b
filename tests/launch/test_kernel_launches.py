"""What each kernel's launches promise: they fit, they cover, and they refuse what they must."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim.launch import Gpu, LaunchPlan, plan_launch, plan_name, possible_launches, stream_depth
from amssim.launch.alternatives import busy_share
from amssim.launch.gemm import buffer_bytes, gemm_cost, try_gemm
from amssim.launch.gemv import brings_little, try_gemv
from amssim.launch.geometry import (
    BURST,
    GEMM,
    GEMV,
    GEMV_BATCH,
    MOST_BLOCKS,
    NO_PLAN,
    SLOT_BYTES,
    STREAM,
    TILE_ROWS,
    WARPGROUP,
    burst_bytes,
    ceil_div,
    row_stride,
    row_tiles,
    units_of,
)
from amssim.launch.shapes import GEMM_WARPS, GEMV_SHAPES, SINGLE, WARPGROUP_SHAPES
from amssim.launch.stream import chunk_bytes, stream_places, try_stream
from amssim.launch.tuning.h200 import COSTS
from amssim.launch.warpgroup import round_bytes, try_warpgroup, warpgroup_cost

H200 = Gpu(132, 232_448, 90)
A100 = Gpu(108, 166_912, 80)
TINY = Gpu(132, 4_000, 90)
groups = st.sampled_from([3, 4])
sides = st.one_of(st.integers(1, 300), st.integers(1, 130_000))
splits = st.sampled_from([1, 2, 4, 8])


def assert_covers(plan: LaunchPlan, group: int, rows: int, columns: int) -> None:
    """All weights belong to a block, and K to the blocks of a cluster."""
    units = units_of(group, columns)
    assert (plan.splits - 1) * plan.slice_units < units <= plan.splits * plan.slice_units
    assert plan.blocks * plan.block_tiles >= row_tiles(rows)
    assert 0 < plan.blocks <= MOST_BLOCKS


@given(groups, sides, sides, st.integers(1, 16), st.sampled_from(GEMV_SHAPES), splits)
def test_gemv(group, rows, columns, batch, shape, splits):
    plan = try_gemv(H200, group, rows, columns, batch, shape, splits)
    if plan.kernel:
        assert plan.kernel == GEMV
        assert_covers(plan, group, rows, columns)
        assert plan.shared_bytes * shape.resident <= H200.shared_bytes
        x_bytes = batch * row_stride(group, plan.slice_units)
        rings = plan.warps // shape.team * shape.team * shape.depth * burst_bytes(group)
        sums = plan.block_tiles * shape.team * (plan.columns // 8) * SLOT_BYTES
        assert plan.shared_bytes > x_bytes + rings + sums
        assert plan.units == plan.block_tiles * plan.slice_units
        assert (plan.blocks - 1) * (plan.block_tiles - 1) < row_tiles(rows)
        assert plan.loads == BURST * max(1, shape.depth)


@given(groups, sides, sides, st.integers(1, 64), st.sampled_from(GEMM_WARPS), splits)
def test_gemm(group, rows, columns, batch, warps, splits):
    plan = try_gemm(H200, group, rows, columns, batch, warps, splits)
    if plan.kernel:
        assert plan.kernel == GEMM
        assert_covers(plan, group, rows, columns)
        assert 2 * buffer_bytes(group, plan.columns // 8) <= plan.shared_bytes
        assert plan.shared_bytes <= H200.shared_bytes


@given(groups, sides, sides, st.integers(1, 64), st.sampled_from(WARPGROUP_SHAPES), splits)
def test_warpgroup(group, rows, columns, batch, shape, splits):
    plan = try_warpgroup(H200, group, rows, columns, batch, *shape, splits)
    if plan.kernel:
        assert plan.kernel == WARPGROUP
        assert_covers(plan, group, rows, columns)
        assert plan.slice_units % (BURST * plan.groups) == 0
        rounds = 2 * round_bytes(group, plan.columns // 8, plan.groups)
        assert rounds <= plan.shared_bytes <= H200.shared_bytes


@given(groups, sides, sides, st.integers(1, 16), st.integers(1, 24), st.integers(1, 4), splits)
def test_stream(group, rows, columns, batch, warps, depth, splits):
    plan = try_stream(H200, group, rows, columns, batch, warps, depth, splits)
    if plan.kernel:
        assert plan.kernel == STREAM
        assert_covers(plan, group, rows, columns)
        assert plan.warps == plan.team * plan.block_tiles <= warps
        assert plan.shared_bytes <= H200.shared_bytes


@given(groups, st.sampled_from([1, 2]), st.integers(1, 16), st.integers(1, 4), st.integers(1, 4))
def test_places_of_a_stream_follow_one_another(group, x_tiles, teams, team, depth):
    warps = teams * team
    places = stream_places(group, x_tiles, warps, team, depth)
    assert places.raw == depth * warps * burst_bytes(group)
    assert places.raw < places.buffers < places.rows < places.barriers < places.end
    assert places.rows - places.buffers == 3 * chunk_bytes(group, team, x_tiles)
    assert all(place % 8 == 0 for place in places)


@pytest.mark.parametrize("kernel", ["gemv", "gemm", "warpgroup", "stream"])
def test_a_gpu_without_room_has_no_launch(kernel):
    product = (TINY, 4, 4096, 4096, 8)
    plan = {
        "gemv": lambda: try_gemv(*product, SINGLE, 1),
        "gemm": lambda: try_gemm(*product, 8, 1),
        "warpgroup": lambda: try_warpgroup(*product, 8, 1, 1),
        "stream": lambda: try_stream(*product, 8, 2, 2),
    }[kernel]()
    assert plan == NO_PLAN


def test_a_stream_takes_at_most_sixteen_rows():
    assert try_stream(H200, 4, 4096, 8192, 16, 16, 2, 2).kernel == STREAM
    assert try_stream(H200, 4, 4096, 8192, 17, 16, 2, 2) == NO_PLAN


@pytest.mark.parametrize("warps", [8, 12])
def test_a_slice_that_would_be_empty_is_no_launch(warps):
    assert try_gemm(H200, 4, 4096, 256, 32, warps, 1).kernel == GEMM
    assert try_gemm(H200, 4, 4096, 256, 32, warps, 2) == NO_PLAN


def test_more_work_for_the_busiest_multiprocessor_costs_more():
    few = try_gemm(H200, 4, 4096, 4096, 32, 8, 4)
    much = try_gemm(H200, 4, 16384, 4096, 32, 8, 4)
    assert gemm_cost(H200, COSTS, much) > gemm_cost(H200, COSTS, few)
    one = try_warpgroup(H200, 4, 8192, 8192, 64, 8, 1, 1)
    two = try_warpgroup(H200, 4, 8192, 16384, 64, 8, 1, 1)
    assert warpgroup_cost(H200, COSTS, two) > warpgroup_cost(H200, COSTS, one)


def test_adding_up_a_cluster_costs():
    plan = try_gemm(H200, 4, 8192, 8192, 32, 8, 2)
    dear = COSTS._replace(gemm_sum=COSTS.gemm_sum + 50)
    assert gemm_cost(H200, dear, plan) > gemm_cost(H200, COSTS, plan)
    alone = plan._replace(splits=1)
    assert gemm_cost(H200, dear, alone) == gemm_cost(H200, COSTS, alone)


def test_few_warps_count_as_eight():
    six, eight = (try_gemm(H200, 4, 96 * 132 * 2, 4096, 16, n, 1) for n in (6, 8))
    per_wave = six._replace(blocks=132), eight._replace(blocks=132)
    assert gemm_cost(H200, COSTS, per_wave[0]) == gemm_cost(H200, COSTS, per_wave[1])


@pytest.mark.parametrize(
    ("waves", "x_bytes", "little"),
    [(1, 0, True), (2, 180_000, True), (3, 0, False), (1, 180_001, False)],
)
def test_when_blocks_bring_little(waves, x_bytes, little):
    assert brings_little(COSTS, waves, x_bytes) is little


@pytest.mark.parametrize(("group", "batch", "depth"), [(3, 8, 3), (3, 9, 2), (4, 8, 2)])
def test_bursts_that_a_stream_keeps_on_their_way(group, batch, depth):
    assert stream_depth(group, batch) == depth


@given(groups, sides, sides, st.integers(1, 64))
def test_candidates_fit_have_names_and_include_the_choice(group, rows, columns, batch):
    plans = possible_launches(H200, group, rows, columns, batch)
    chosen = plan_launch(H200, group, rows, columns, batch)
    names = [plan_name(plan) for plan in plans]
    assert len(set(names)) == len(names)
    assert plan_name(chosen) in names
    assert all(plan.kernel and plan.shared_bytes <= H200.shared_bytes for plan in plans)
    assert all(0 < busy_share(plan) <= 1 for plan in plans)


@given(groups, st.integers(64, 130_000), st.integers(256, 60_000))
def test_no_gemm_is_measured_for_one_row_of_x_unless_it_is_chosen(group, rows, columns):
    plans = possible_launches(H200, group, rows, columns, 1)
    chosen = plan_launch(H200, group, rows, columns, 1)
    gemms = {plan_name(plan) for plan in plans if plan.kernel in (GEMM, WARPGROUP)}
    assert gemms <= {plan_name(chosen)}


@given(groups, st.integers(1, 60_000), st.integers(1, 60_000), st.integers(1, 64))
def test_gpus_without_clusters_share_nothing(group, rows, columns, batch):
    plans = possible_launches(A100, group, rows, columns, batch)
    assert {plan.splits for plan in plans} == {1}
    assert {plan.kernel for plan in plans} <= {GEMV, GEMM}


@given(groups, sides, sides, st.integers(GEMV_BATCH + 1, 64))
def test_only_gemms_take_many_rows_of_x(group, rows, columns, batch):
    assert plan_launch(H200, group, rows, columns, batch).kernel in (GEMM, WARPGROUP)


def test_a_wave_that_is_half_full():
    plan = NO_PLAN._replace(splits=1, blocks=132 + 66, slots=132)
    assert busy_share(plan) == 0.75
    assert ceil_div(TILE_ROWS, 2) == 8
