"""Scales per block of columns: their order, and products on the warp emulator."""

import numpy as np
import pytest
from gpu_cases import SMALL_GPU, emulated, in_kernel_order, random_codes

from amssim.launch.gemv import try_gemv
from amssim.launch.shapes import SINGLE
from cuda_kernels.emulator.run import DeviceMemory
from cuda_kernels.forms import FORMS, FP4_25, FP5_33
from cuda_kernels.forms import host as words
from cuda_kernels.gemv import block_scales
from cuda_kernels.kernel import KernelProblem

CASES = [(FP4_25, block) for block in (64, 128, 192, 256)]
CASES += [(FP5_33, block) for block in (48, 96, 144, 192)]
each_block = pytest.mark.parametrize(
    ("form", "block"), CASES, ids=lambda v: str(getattr(v, "name", v))
)


def product_error(form, block, rows, columns, batch, plan):
    rng = np.random.default_rng(block)
    codes = random_codes(form, rows, columns, rng)
    scales = np.exp2(rng.uniform(-4, 4, (rows, -(-columns // block)))).astype(np.float32)
    x = rng.standard_normal((batch, columns)).astype(np.float16)
    bias = rng.standard_normal(rows).astype(np.float32)
    dense = form.element.decode(codes) * np.repeat(scales, block, axis=1)[:, :columns].astype(float)
    expected = x.astype(float) @ dense.T + bias
    device = DeviceMemory()
    packed, tails = (device.put(a) for a in words.pack_form(codes, form))
    padded = np.zeros((batch, -(-columns // 8) * 8), np.float16)
    padded[:, :columns] = x
    out = device.put(np.full((batch, rows), np.nan, np.float32))
    addresses = {
        "weights": packed,
        "tails": tails,
        "scales": device.put(in_kernel_order(scales, form, columns, block)),
        "bias": device.put(bias),
        "x": device.put(padded),
        "x_scales": 0,
        "out": out,
    }
    problem = KernelProblem(form, rows, columns, batch, block_scales.scale_units(form, block))
    emulated(device, plan, problem, addresses)
    found = device.get(out, (batch, rows), np.float32)
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@each_block
def test_products_with_scales_per_block(form, block):
    rows, columns, batch = 37, 776, 3
    plan = block_scales.plan_block_scales(SMALL_GPU, form.group, rows, columns, batch)
    assert product_error(form, block, rows, columns, batch, plan) < 5e-7


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
@pytest.mark.parametrize(("batch", "splits"), [(1, 2), (8, 1)])
def test_products_in_slices_and_of_eight_columns(form, batch, splits):
    rows, columns, block = 20, 1032, 2 * form.unit_weights
    shape = SINGLE._replace(threads=128)
    plan = try_gemv(SMALL_GPU, form.group, rows, columns, batch, shape, splits)
    assert product_error(form, block, rows, columns, batch, plan) < 5e-7


def test_what_does_not_fit_is_said():
    assert not block_scales.plan_block_scales(SMALL_GPU, FP4_25.group, 64, 200_000, 8).kernel
    assert block_scales.most_batch(FP4_25, 64, 4096, SMALL_GPU) == 8
    assert 0 < block_scales.most_batch(FP4_25, 64, 16384, SMALL_GPU) < 8
