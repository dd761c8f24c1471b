"""Forms: one protocol for both, bits placed and taken, and what a stranger's kernel needs."""

import pickle
import sys
import types

import numpy as np
import pytest
from fake_gpu import Tensor
from hypothesis import given
from hypothesis import strategies as st

import amssim
from cuda_kernels import kernel as kernel_module
from cuda_kernels import product as product_module
from cuda_kernels.forms import FORMS, FP4_25, FP5_33, form_named, form_of, fp425
from cuda_kernels.forms.bits import place_bits, ror, take_bits
from cuda_kernels.forms.fp533 import own_slot, rest_of
from cuda_kernels.kernel import Kernel
from cuda_kernels.matrix import Matrix
from cuda_kernels.signature import address, count

words = st.integers(0, 2**32 - 1)
each_form = pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)


@given(words, st.lists(st.integers(0, 31), min_size=1, max_size=8, unique=True))
def test_bits_that_are_placed_can_be_taken(value, places):
    placed = place_bits(value, tuple(places))
    assert int(take_bits(placed, tuple(places))) == value & ((1 << len(places)) - 1)
    assert bin(int(placed)).count("1") == bin(value & ((1 << len(places)) - 1)).count("1")


@given(words, st.integers(0, 31))
def test_turning_right_is_division_with_the_rest_on_top(word, turn):
    turned = int(ror(word, turn))
    assert turned == ((word >> turn) | (word << (32 - turn))) & 0xFFFFFFFF
    assert int(ror(turned, (32 - turn) % 32)) == word


@given(words)
def test_the_packer_of_fp533_solves_for_the_bits_that_are_left_over(own):
    """Bits 4 to 6 and 12 to 14 of each half reach every bit of the third slot but those that the
    first two slots fix."""
    free = np.uint32(rest_of(np.uint32(own & 0x8F808F80)))
    assert int(free) & ~0x70707070 == 0
    assert int(own_slot(free)) == own & 0x8F808F80


def test_the_packer_of_fp425_finds_what_the_products_need():
    """For all values of the last two slots, whatever the low half carries into the high one."""
    third, fourth = np.arange(256, dtype=np.uint32) & 15, np.arange(256, dtype=np.uint32) >> 4
    rest = fp425.rest_of(third, fourth)
    assert np.unique(rest).size == 256
    assert not (rest & ~np.uint32(fp425.REST & 0xFFFF)).any()
    words = (rest << np.uint32(16)) | rest[:, None]
    for factor, wanted in zip(fp425.FACTORS, (third, fourth), strict=True):
        places = tuple(p + 16 for p in fp425.TOP_PLACES)
        assert (take_bits(words * np.uint32(factor), places) == wanted).all()
    for factor, wanted in zip(fp425.FACTORS, (third, fourth), strict=True):
        assert (take_bits(rest * np.uint32(factor), fp425.TOP_PLACES) == wanted).all()


@each_form
def test_a_form_is_the_same_in_another_process(form):
    assert pickle.loads(pickle.dumps(form)) is form
    assert form_named(form.name) is form
    assert repr(form) == f"Form('{form.name}')"


@each_form
@given(st.integers(1, 5000), st.integers(1, 5000))
def test_sizes_hold_the_matrix_and_little_more(form, rows, columns):
    tiles, units = form.tiles(rows), form.units(columns)
    assert 16 * (tiles - 1) < rows <= 16 * tiles
    burst = 4 * form.unit_weights
    assert (units // 4 - 1) * burst < columns <= units // 4 * burst
    bits = 8 * form.nbytes(rows, columns) / (16 * tiles * units * form.unit_weights)
    assert bits == {FP4_25: 4.25, FP5_33: 16 / 3}[form]


def test_every_scheme_has_the_smallest_form_that_holds_it():
    for scheme in amssim.schemes():
        form = form_of(scheme)
        if form is None:
            continue
        values = set(scheme.minifloat.values)
        assert values <= set(form.element.values), "the form's minifloat holds all values"


# --- a kernel that nothing here knows -------------------------------------------------------------


def make_sum(form, dtype, *, factor):
    """A kernel for this test: the GPU below notes it, and runs nothing."""

    def row_sum(
        weights: address, tails: address, scales: address, bias: address, x: address,
        x_scales: address, out: address, rows: count, k_columns: count, batch: count,
        units: count, row_tiles: count, extra: count,
    ): ...  # fmt: skip

    return row_sum


def test_another_kernel_needs_its_file_and_its_plan_alone(noting_gpu, monkeypatch):
    """Its name, a plan with its number, and a module with a KERNEL: then a matrix launches it."""
    module = types.ModuleType("cuda_kernels.row_sum.kernel")
    module.KERNEL = Kernel(
        make_sum,
        lambda plan, problem, gpu: {"factor": plan.depth},
        lambda plan, problem: {"extra": problem.batch + plan.depth},
    )
    monkeypatch.setitem(sys.modules, "cuda_kernels.row_sum", types.ModuleType("row_sum"))
    monkeypatch.setitem(sys.modules, "cuda_kernels.row_sum.kernel", module)
    names = (*kernel_module.KERNEL_NAMES, "row_sum")
    monkeypatch.setattr(kernel_module, "KERNEL_NAMES", names)
    plan = product_module.plan_launch(noting_gpu.gpu, 4, 64, 256, 1)
    plan = plan._replace(kernel=len(names) - 1, depth=7, warps=3, splits=2, blocks=5)
    monkeypatch.setattr(product_module, "plan_launch", lambda *sizes: plan)
    packed = amssim.quantize(np.ones((64, 256), np.float32), "fp4.25")
    matrix = Matrix(packed.scheme, packed.shape, packed.words, packed.scales)
    matrix.gemv(Tensor((2, 256), 1 << 20), Tensor((2, 64), 1 << 21), stream=4)
    (launch,) = noting_gpu.launches
    assert (launch.kernel, launch.grid, launch.threads) == ("row_sum", (2, 5), 96)
    assert launch.arguments["extra"] == 9
    assert launch.arguments["k_columns"] == 256
    assert launch.arguments["row_tiles"] == 4
    assert launch.arguments["weights"] == matrix.weights.addresses.words
