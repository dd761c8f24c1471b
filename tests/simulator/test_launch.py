"""The simulator's copy of the launch plan makes every choice that cuda_kernels/plan.py makes."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amssim.hardware import names, profile
from amssim.simulator import launch
from amssim.simulator.descriptor import device
from cuda_kernels import plan as kernels_plan
from cuda_kernels.forms import FP4_25, FP5_33
from cuda_kernels.plan import GemmPlan, GemvPlan, Gpu

GPUS = [
    Gpu(132, 232_448, (9, 0)),
    Gpu(114, 232_448, (9, 0)),
    Gpu(108, 166_912, (8, 0)),
    Gpu(128, 101_376, (8, 9)),
    Gpu(148, 232_448, (10, 0)),
]
SIDES = st.one_of(
    st.integers(1, 300),
    st.integers(1, 200_000),
    st.integers(1, 256).map(lambda n: 128 * n),
    st.sampled_from([4096, 5120, 8192, 14336, 28672, 57344]),
)
BATCHES = st.one_of(st.integers(1, 64), st.sampled_from([1, 2, 4, 8, 16, 32, 64]))


def theirs(form, rows, columns, batch, gpu) -> dict:
    """What the simulator uses of a launch, from the kernels' own plan."""
    found = kernels_plan.plan(form, rows, columns, batch, gpu)
    splits, blocks = found.grid
    n = found.slice_units
    if isinstance(found, GemvPlan):
        warps = found.threads // 32
        kernel, units, resident = launch.GEMV, found.share * (warps // found.team), found.resident
        loads = 4 * max(1, found.depth)
    elif isinstance(found, GemmPlan):
        warps, resident, loads = found.warps, 1, 8
        kernel, units = launch.GEMM, 2 * warps * n
    else:
        warps, resident, loads = found.warps, 1, 8
        kernel, units = launch.WARPGROUP, 2 * (warps // found.groups) * n
    slots = gpu.blocks(splits) * resident // splits * splits
    return {
        "kernel": kernel,
        "splits": splits,
        "blocks": blocks,
        "warps": warps,
        "slots": slots,
        "units": units,
        "slice_units": n,
        "columns": 8 * found.columns,
        "loads": loads,
    }


@given(st.sampled_from([3, 4]), SIDES, SIDES, BATCHES, BATCHES)
def test_batches_that_share_a_plan(group, rows, columns, batch, other):
    if launch.same_plan(batch, other):
        gpu = launch.Gpu(132, 232_448, 90)
        first, second = (launch.plan(gpu, group, rows, columns, b) for b in (batch, other))
        assert first == second


@settings(max_examples=400)
@given(st.sampled_from([FP4_25, FP5_33]), SIDES, SIDES, BATCHES, st.sampled_from(GPUS))
@example(FP4_25, 57344, 8192, 64, GPUS[0])
@example(FP5_33, 10240, 8192, 8, GPUS[0])
@example(FP5_33, 8192, 28672, 8, GPUS[0])
def test_the_copy_of_the_plan_is_the_plan(form, rows, columns, batch, gpu):
    major, minor = gpu.capability
    here = launch.Gpu(gpu.multiprocessors, gpu.shared_bytes, 10 * major + minor)
    ours = launch.plan(here, form.group, rows, columns, batch)
    ours = {name: value for name, value in ours._asdict().items() if name != "good"}
    assert ours == theirs(form, rows, columns, batch, gpu)


def test_forms_are_the_kernels_own():
    for form in (FP4_25, FP5_33):
        assert launch.unit_columns(form.group) == form.unit_weights
        for columns in (1, 47, 48, 49, 255, 256, 257, 28672):
            assert launch.units_of(form.group, columns) == form.units(columns)


def test_a_gpu_with_too_little_shared_memory_gets_some_plan():
    found = launch.plan(launch.Gpu(8, 1000, 0), 4, 4096, 4096, 64)
    assert found.kernel == launch.GEMM and found.blocks * 16 * 16 >= 4096 and found.slots == 8


@pytest.mark.parametrize("name", [n for n in names() if profile(n).kind == "gpu"])
def test_profiles_say_what_a_plan_needs(name):
    capability = device(profile(name)).capability
    assert 70 <= capability <= 120 or (name == "mi300x" and capability == 0)
