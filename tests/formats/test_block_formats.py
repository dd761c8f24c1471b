"""MX, NVFP4, RaZeR and OPAL against gfloat and against versions written block by block."""

import math
from itertools import pairwise

import gfloat
import numpy as np
import pytest
from gfloat import RoundMode, compute_scale_amax, decode_float, encode_float, round_float
from gfloat.formats import (
    format_info_mxfp4_e2m1,
    format_info_mxfp6_e2m3,
    format_info_mxfp6_e3m2,
    format_info_ocp_e2m1,
    format_info_ocp_e4m3,
)

from amssim import formats
from amssim.formats.rivals.microscaling import Microscaling
from amssim.formats.rivals.normal_float import normal_table
from amssim.formats.rounding.scale_codes import (
    E3M3,
    e3m3,
    e4m3,
    e8m0,
    from_e3m3,
    from_e4m3,
    from_e8m0,
)


def weights(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_t(4, shape) * 2.0 ** rng.integers(-6, 6, (shape[0], 1))).astype(np.float32)


MX = {
    "mxfp4": format_info_mxfp4_e2m1,
    "mxfp6-e2m3": format_info_mxfp6_e2m3,
    "mxfp6-e3m2": format_info_mxfp6_e3m2,
}


@pytest.mark.parametrize("name", MX)
def test_mx_blocks_are_those_of_gfloat(name):
    w = weights((6, 64))
    for row, steps in enumerate((4, 16, 128)):  # ties of each format under a largest weight of 6
        w[row, :32] = np.append(np.arange(-15, 16) / steps, 6)
    restored = formats.find_format(name).quantize(w).dequantize()
    for row, found in zip(w, restored, strict=True):
        for start in (0, 32):
            block = row[start : start + 32].astype(np.float64)
            expected = gfloat.quantize_block(MX[name], block, compute_scale_amax)
            assert np.array_equal(found[start : start + 32], expected)


def test_searched_exponents_have_the_least_error():
    w = weights((8, 96))
    plain, searched = Microscaling("e2m1"), Microscaling("e2m1", offsets=(0, -1, 1))
    base = plain.quantize(w)
    error = np.full((8, 3), np.inf)
    for offset in (-1, 0, 1):
        scales = e8m0(base.parts["scales"].astype(int) - 127 + offset)
        codes = np.repeat(from_e8m0(scales), 32, axis=1)
        nearest = np.sort(np.unique(format_values("e2m1")))
        each = nearest[np.abs(w[..., None] / codes[..., None] - nearest).argmin(axis=2)] * codes
        error = np.minimum(error, ((w - each) ** 2).reshape(8, 3, 32).sum(axis=2))
    found = ((w - searched.quantize(w).dequantize()) ** 2).reshape(8, 3, 32).sum(axis=2)
    assert found == pytest.approx(error, rel=1e-5)


def format_values(name):
    return np.array([decode_float(format_info_ocp_e2m1, c).fval for c in range(16)])


def rounded(info, x):
    return decode_float(info, encode_float(info, round_float(info, x, RoundMode.TiesToEven, True)))


def test_nvfp4_blocks_are_those_of_gfloat():
    w = weights((4, 40), 2)
    restored = formats.find_format("nvfp4").quantize(w).dequantize()
    tensor = np.float32(np.abs(w).max()) / np.float32(448 * 6)
    for i, start in ((i, s) for i in range(4) for s in (0, 16, 32)):
        block = w[i, start : start + 16]
        ratio = np.float32(np.abs(block).max()) / np.float32(6) / tensor
        scale = np.float32(rounded(format_info_ocp_e4m3, float(ratio)).fval) * tensor
        for x, found in zip(block, restored[i, start : start + 16], strict=True):
            element = rounded(format_info_ocp_e2m1, float(np.float32(x / scale))).fval
            assert found == np.float32(element) * scale


def test_e4m3_scales_are_those_of_gfloat():
    x = np.exp(np.random.default_rng(0).uniform(-8, 8, 500)).astype(np.float32)
    expected = [max(rounded(format_info_ocp_e4m3, float(v)).fval, 2.0**-9) for v in x]
    assert from_e4m3(e4m3(x)).tolist() == expected
    assert from_e4m3(e4m3(np.zeros(1, np.float32))) == 2.0**-9


def test_e3m3_scales_are_the_nearest_of_63():
    assert len(E3M3) == 63 and E3M3[[0, 1, -1]].tolist() == [0, 2.0**-5, 28]
    assert all(low < high for low, high in pairwise(E3M3))
    x = np.random.default_rng(0).uniform(0, 32, 300)
    nearest = E3M3[1:][np.abs(x[:, None] - E3M3[1:]).argmin(axis=1)]
    assert np.array_equal(from_e3m3(e3m3(x)), nearest)


def test_razer_blocks_by_brute_force():
    w = weights((3, 48), 5)
    restored = formats.find_format("razer").quantize(w).dequantize()
    tensor = np.float32(np.abs(w).max()) / np.float32(28 * 6)
    for i, start in ((i, s) for i in range(3) for s in (0, 16, 32)):
        block = w[i, start : start + 16].astype(np.float64)
        errors = []
        for special in (5, -5, 8, -8):
            table = np.append(format_values("e2m1"), special)
            ratio = np.abs(block).max() / np.abs(table).max() / tensor
            scale = E3M3[1:][np.abs(E3M3[1:] - ratio).argmin()] * tensor
            distance = np.abs(block[:, None] - table * scale).min(axis=1)
            errors.append((distance**2).sum())
        found = ((block - restored[i, start : start + 16]) ** 2).sum()
        assert found == pytest.approx(min(errors), rel=1e-4)


def opal_by_hand(block, bits, outliers):
    """One block in plain Python."""
    order = sorted(range(len(block)), key=lambda j: (-abs(block[j]), j))
    kept, rest = set(order[:outliers]), order[outliers:]
    limit = 2 ** (bits - 1) - 1
    largest = max(abs(block[j]) for j in rest)
    scale = 2.0 ** math.ceil(math.log2(largest / (limit + 0.5)))
    steps = [max(-limit, min(limit, round(v / scale))) for v in block]
    return [None if j in kept else steps[j] * scale for j in range(len(block))], kept


@pytest.mark.parametrize(("bits", "outliers"), [(4, 1), (5, 4)])
def test_opal_blocks_by_hand(bits, outliers):
    w, limit = weights((3, 64), 7), 2 ** (bits - 1) - 1
    w[:2, :32] = np.linspace(-1, 1, 32) * np.array([[limit + 0.25], [limit + 0.5]])
    w[:2, :outliers] = 100  # the rest just fits a step of 1
    restored = (
        formats.find_format("opal4", bits=bits, outliers=outliers, scale_block=32)
        .quantize(w)
        .dequantize()
    )
    for i, start in ((i, s) for i in range(3) for s in (0, 32)):
        block = [float(v) for v in w[i, start : start + 32]]
        expected, kept = opal_by_hand(block, bits, outliers)
        for j, value in enumerate(expected):
            found = restored[i, start + j]
            assert found == value if j not in kept else abs(found / block[j] - 1) <= 2**-8


def test_nf4_is_the_published_table():
    # QLoRA, arXiv 2305.14314, appendix E
    published = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453]
    published += [-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0]
    published += [0.07958029955625534, 0.16093020141124725, 0.24611230194568634]
    published += [0.33791524171829224, 0.44070982933044434, 0.5626170039176941]
    published += [0.7229568362236023, 1.0]
    assert normal_table(4).array == pytest.approx(published, abs=2e-7)
