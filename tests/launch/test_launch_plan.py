"""The launch plan of our kernels, as those who launch and those who predict share it."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim._jit import jit
from amssim.hardware import names, profile
from amssim.launch import grids, plan
from amssim.simulator.compiled import launches
from amssim.simulator.descriptor import device
from cuda_kernels.forms import host as words
from cuda_kernels.forms.form import FORMS

H200 = grids.Gpu(132, 232_448, 90)
OTHERS = [(114, 232_448, 90), (108, 166_912, 80), (128, 101_376, 89), (148, 232_448, 100)]
GPUS = [H200, *(grids.Gpu(*numbers) for numbers in OTHERS)]
SIDES = st.one_of(
    st.integers(1, 300),
    st.integers(1, 200_000),
    st.integers(1, 256).map(lambda n: 128 * n),
    st.sampled_from([4096, 5120, 8192, 14336, 28672, 57344]),
)
BATCHES = st.one_of(st.integers(1, 64), st.sampled_from([1, 2, 4, 8, 16, 32, 64]))
GROUPS = st.sampled_from([3, 4])


@given(GROUPS, SIDES, SIDES, BATCHES, BATCHES)
def test_batches_that_share_a_plan(group, rows, columns, batch, other):
    if plan.same_plan(batch, other):
        first, second = (plan.plan(H200, group, rows, columns, b) for b in (batch, other))
        assert first == second


@cache
def compiled():
    """The plan as sweeps call it: from compiled code."""
    plan_of = launches()["plan"]

    @jit
    def call(gpu, group, rows, columns, batch):
        return plan_of(gpu, group, rows, columns, batch)

    return call


@given(st.sampled_from(GPUS), GROUPS, SIDES, SIDES, BATCHES)
def test_numba_makes_the_same_plan(gpu, group, rows, columns, batch):
    sizes = (group, rows, columns, batch)
    assert compiled()(gpu, *sizes) == plan.plan(gpu, *sizes)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_units_are_those_that_the_words_have(form):
    """Words and tails of a row of every length fill whole units."""
    for columns in (1, 47, 48, 49, 255, 256, 257, 1000):
        packed, _ = words.pack(np.zeros((1, columns), np.uint8), form)
        assert packed.shape[1] == grids.units_of(form.group, columns)
        assert packed.shape[1] * grids.unit_columns(form.group) >= columns


def test_a_gpu_with_too_little_shared_memory_gets_some_plan():
    found = plan.plan(grids.Gpu(8, 1000, 0), 4, 4096, 4096, 64)
    assert found.kernel == grids.GEMM
    assert found.blocks * found.block_tiles * 16 >= 4096
    assert found.slots == 8


@pytest.mark.parametrize("name", [n for n in names() if profile(n).kind == "gpu"])
def test_profiles_say_what_a_plan_needs(name):
    capability = device(profile(name)).capability
    assert 70 <= capability <= 120 or (name == "mi300x" and capability == 0)
