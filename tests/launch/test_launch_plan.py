"""The launch plan of our kernels, as those who launch and those who predict share it."""

import json
from functools import cache

import launch_digest
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from amssim.hardware import names, profile
from amssim.launch import geometry
from amssim.launch.choose import plan_launch, same_plan
from amssim.simulator.compiled import planning
from amssim.simulator.descriptors import device_numbers
from cuda_kernels.forms import FORMS
from cuda_kernels.forms import host as words

H200 = geometry.Gpu(132, 232_448, 90)
OTHERS = [(114, 232_448, 90), (108, 166_912, 80), (128, 101_376, 89), (148, 232_448, 100)]
GPUS = [H200, *(geometry.Gpu(*numbers) for numbers in OTHERS)]
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
    if same_plan(batch, other):
        first, second = (plan_launch(H200, group, rows, columns, b) for b in (batch, other))
        assert first == second


@cache
def compiled():
    """The plan as sweeps call it: from compiled code."""
    product_plan = planning()["plan_launch"]

    @njit
    def call(gpu, group, rows, columns, batch):
        return product_plan(gpu, group, rows, columns, batch)

    return call


@given(st.sampled_from(GPUS), GROUPS, SIDES, SIDES, BATCHES)
def test_numba_makes_the_same_plan(gpu, group, rows, columns, batch):
    sizes = (group, rows, columns, batch)
    assert compiled()(gpu, *sizes) == plan_launch(gpu, *sizes)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_units_are_those_that_the_words_have(form):
    """Words and tails of a row of every length fill whole units."""
    for columns in (1, 47, 48, 49, 255, 256, 257, 1000):
        packed, _ = words.pack_form(np.zeros((1, columns), np.uint8), form)
        assert packed.shape[1] == geometry.units_of(form.group, columns)
        assert packed.shape[1] * geometry.unit_columns(form.group) >= columns


def test_a_gpu_with_too_little_shared_memory_gets_some_plan():
    chosen = plan_launch(geometry.Gpu(8, 1000, 0), 4, 4096, 4096, 64)
    assert chosen.kernel == geometry.GEMM
    assert chosen.blocks * chosen.block_tiles * 16 >= 4096
    assert chosen.slots == 8


@pytest.mark.parametrize("name", [n for n in names() if profile(n).kind == "gpu"])
def test_profiles_say_what_a_plan_needs(name):
    capability = device_numbers(profile(name)).capability
    assert 70 <= capability <= 120 or (name == "mi300x" and capability == 0)


def test_no_plan_has_changed():
    """The recorded digest; `launch_digest.py` says how to renew it after a change that is meant."""
    record = json.loads(launch_digest.RECORD.read_text())
    assert launch_digest.digest(count=record["products"]) == record["sha256"]


def test_the_digest_shows_one_changed_plan():
    products = list(launch_digest.products(200))

    def otherwise(*product):
        plan = plan_launch(*product)
        return plan._replace(warps=plan.warps + (product == products[123]))

    assert launch_digest.digest(otherwise, 200) != launch_digest.digest(count=200)


def test_numba_makes_the_plans_of_the_digest():
    assert launch_digest.digest(compiled(), 2000) == launch_digest.digest(count=2000)
