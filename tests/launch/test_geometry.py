"""Units, tiles, slices and the sizes of kernel forms: against arithmetic done another way."""

from itertools import product
from math import ceil, gcd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim.launch import geometry
from amssim.launch.geometry import BURST, KERNEL_NAMES, NO_PLAN, Gpu, LaunchPlan
from cuda_kernels.forms import FORMS

counts = st.integers(1, 10**6)
parts = st.integers(1, 500)
groups = st.sampled_from([3, 4])


@given(counts, parts)
def test_division_rounded_up(a, b):
    assert geometry.ceil_div(a, b) == ceil(a / b)


@given(counts, parts)
def test_even_parts_differ_by_one_and_add_up(total, parts):
    most, full = geometry.even_parts(total, parts)
    sizes = [most] * full + [most - 1] * (parts - full)
    assert sum(sizes) == total
    assert 0 < full <= parts


@pytest.mark.parametrize(
    ("cluster", "blocks"), [(1, 132), (2, 132), (4, 120), (8, 120)], ids="cluster of {}".format
)
def test_clusters_that_an_h200_runs_at_a_time(cluster, blocks):
    """As cuOccupancyMaxActiveClusters says."""
    assert geometry.running(Gpu(132, 232_448, 90), cluster) == blocks


@given(st.integers(1, 2048), st.sampled_from([1, 2, 4, 8]))
def test_whole_clusters_run(sms, cluster):
    blocks = geometry.running(Gpu(sms, 100_000, 90), cluster)
    assert blocks % cluster == 0
    assert 0 <= blocks <= sms


@given(groups, counts)
def test_rows_are_whole_bursts_and_no_longer_than_needed(group, columns):
    units = geometry.units_of(group, columns)
    burst = BURST * geometry.unit_columns(group)
    assert units % BURST == 0
    assert columns <= units * geometry.unit_columns(group) < columns + burst


@given(st.integers(1, 10**5), st.integers(1, 16), st.sampled_from([4, 8, 16]))
def test_slices_cover_a_row_and_none_is_empty(units, splits, step):
    length = geometry.slice_of(units, splits, step)
    if length:
        assert length % step == 0
        assert (splits - 1) * length < units <= splits * length
    else:
        steps = ceil(units / step)
        assert ceil(steps / splits) * (splits - 1) >= steps, "the last slice would be empty"


def test_a_slice_for_each_of_more_blocks_than_steps_is_refused():
    assert geometry.slice_of(8, 4, 4) == 0
    assert geometry.slice_of(16, 4, 4) == 4


@pytest.mark.parametrize("batch", range(1, 65))
def test_column_tiles_are_the_smallest_that_hold_the_batch(batch):
    assert geometry.column_tiles(batch) == min(n for n in (1, 2, 4, 8) if 8 * n >= batch)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_sizes_are_those_of_the_form(form):
    group = form.group
    assert geometry.unit_columns(group) == form.unit_weights
    assert (geometry.form_sizes(group).tail_bytes > 0) == form.has_tails


@pytest.mark.parametrize(("group", "bits"), [(3, 16 / 3), (4, 17 / 4)])
def test_a_burst_has_the_payload_of_its_weights(group, bits):
    weights = 16 * geometry.unit_columns(group) * BURST
    assert geometry.burst_bytes(group) * 8 == weights * bits


@pytest.mark.parametrize("group", [3, 4])
@pytest.mark.parametrize("units", [4, 8, 20, 64])
def test_rows_of_activations_begin_in_different_banks(group, units):
    """8 rows that a quarter of a warp reads 16 bytes of each: 128 bytes of different banks."""
    stride = geometry.row_stride(group, units)
    assert stride >= 2 * units * geometry.unit_columns(group)
    assert stride % 16 == 0
    starts = {(row * stride) % 128 // 16 for row in range(8 if group == 4 else 4)}
    assert len(starts) == (8 if group == 4 else 4)


@pytest.mark.parametrize("group", [3, 4])
def test_raw_rows_hold_a_unit_and_meet_no_bank_twice(group):
    stride = geometry.raw_stride(group)
    assert stride >= 2 * geometry.unit_columns(group)
    banks = stride // 16
    assert gcd(banks, 8) == 1 or 8 // gcd(banks, 8) >= 4


@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 20), st.sampled_from([1, 2, 3, 4]))
def test_tasks_are_enough_for_all_units_of_a_round(x_tiles, warps, groups):
    tasks = geometry.tasks_of(x_tiles, warps, groups)
    needed = x_tiles * BURST * groups
    assert needed <= tasks * warps < needed + warps


def test_runs_of_activations_are_whole_pieces_of_every_lane():
    for group in (3, 4):
        assert geometry.run_columns(group) % (32 * 4 * group) == 0


def test_no_plan_is_nothing():
    assert LaunchPlan(*[0] * len(LaunchPlan._fields)) == NO_PLAN


def test_kernels_have_distinct_numbers_and_names():
    numbers = (geometry.GEMV, geometry.GEMM, geometry.WARPGROUP, geometry.STREAM)
    assert sorted(numbers) == list(geometry.KERNELS)
    assert [KERNEL_NAMES[n] for n in numbers] == ["gemv", "gemm", "warpgroup", "stream"]
    assert set(geometry.EXACT_KERNELS) < set(numbers)


@pytest.mark.parametrize(("rows", "sms"), list(product([1, 16, 17, 2112, 4096], [1, 132])))
def test_waves_count_blocks_that_run_one_after_another(rows, sms):
    gpu = Gpu(sms, 100_000, 80)
    plan = NO_PLAN._replace(splits=1, blocks=geometry.row_tiles(rows))
    assert geometry.waves_of(gpu, plan) == ceil(ceil(rows / 16) / sms)
