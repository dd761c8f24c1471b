"""The unmodified kernel source on the warp emulator against float64."""

import ml_dtypes
import numpy as np
import pytest
from gpu_cases import SMALL_GPU, Case

from amssim.launch.choose import plan_launch
from amssim.launch.gemm import try_gemm
from amssim.launch.gemv import try_gemv
from amssim.launch.shapes import SINGLE
from amssim.launch.stream import try_stream
from amssim.launch.warpgroup import try_warpgroup
from cuda_kernels.dense.kernel import blocks_of, make_dequantize, run_bytes
from cuda_kernels.emulator.run import DeviceMemory, emulate
from cuda_kernels.forms import FORMS
from cuda_kernels.forms import host as words
from cuda_kernels.kernel import kernel_of
from cuda_kernels.normalize.kernel import THREADS, make_normalize

EXACT_ENOUGH = 5e-7
each_form = pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)


def gemv_launch(case, splits=1, **choices):
    shape = SINGLE._replace(**({"threads": 128} | choices))
    return try_gemv(SMALL_GPU, case.form.group, *case.shape, case.batch, shape, splits)


@each_form
@pytest.mark.parametrize("batch", range(1, 17))
def test_gemv_of_every_batch(form, batch):
    case = Case(form, 40, 520, batch)
    assert case.error(gemv_launch(case, depth=batch % 3)) < EXACT_ENOUGH


@each_form
@pytest.mark.parametrize(("columns", "whole"), [(520, True), (2056, False)])
def test_gemv_whose_ring_may_hold_all(form, columns, whole):
    case = Case(form, 70, columns, 2)
    found = gemv_launch(case, depth=2 if whole else 3)
    assert kernel_of(found).options_of(found, case.problem, SMALL_GPU)["whole"] == whole
    assert case.error(found) < EXACT_ENOUGH


@each_form
@pytest.mark.parametrize("splits", [1, 2])
def test_gemv_whose_rows_are_several_runs_of_activations(form, splits):
    case = Case(form, 16, 1672, 3)
    shape = SINGLE._replace(threads=64, depth=2)
    launched = try_gemv(SMALL_GPU, form.group, 16, 1672, 3, shape, splits)
    shift = kernel_of(launched).arguments_of(launched, case.problem)["shift"]
    assert shift == (2 if splits == 1 else 1)
    assert case.error(launched) < EXACT_ENOUGH


@each_form
@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("shape", [(1, 8), (15, 48), (16, 64), (17, 72), (33, 1544)])
def test_gemv_of_every_tail(form, shape, depth):
    case = Case(form, *shape, 2, bias=False)
    assert case.error(gemv_launch(case, depth=depth)) < EXACT_ENOUGH


@each_form
@pytest.mark.parametrize("rows", [16 * 9, 16 * 4, 16 * 3, 16 * 13 - 5])
def test_blocks_with_a_row_tile_less(form, rows):
    """4 multiprocessors: 9 row tiles are 3, 2, 2 and 2."""
    case = Case(form, rows, 200, 1)
    assert case.error(gemv_launch(case)) < EXACT_ENOUGH


@each_form
@pytest.mark.parametrize("depth", [0, 3])
@pytest.mark.parametrize(("team", "splits"), [(2, 1), (4, 1), (1, 2), (2, 2)])
def test_gemv_of_teams_and_slices(form, team, splits, depth):
    case = Case(form, 70, 1288, 3)
    found = gemv_launch(case, team=team, splits=splits, depth=depth)
    assert case.error(found) < EXACT_ENOUGH


@each_form
def test_an_infinity_stays_one(form):
    """Sums are added up in slots of which some are empty: 0 times Inf would be NaN."""
    case = Case(form, 40, 520, 2)
    exponent, sign = 1 << form.element.mantissa_bits, 1 << (form.element.bits - 1)
    case.codes = (case.codes | np.uint8(exponent)) & np.uint8(sign - 1)  # no weight is 0 or less
    case.x[1, 7] = np.inf
    found = case.emulate(gemv_launch(case))
    assert np.isfinite(found[0]).all()
    assert (found[1] == np.inf).all()


@each_form
@pytest.mark.parametrize(("batch", "splits"), [(5, 2), (9, 1), (16, 2), (25, 1), (64, 1)])
def test_gemm_of_every_width(form, batch, splits):
    case = Case(form, 20, 392, batch)
    warps = 8 if batch > 32 else 4
    found = try_gemm(SMALL_GPU, form.group, *case.shape, batch, warps, splits)
    assert case.error(found) < EXACT_ENOUGH


@each_form
@pytest.mark.parametrize(
    ("rows", "columns", "batch", "warps", "groups", "splits"),
    [
        (20, 392, 5, 4, 1, 1),
        (200, 392, 16, 4, 1, 1),
        (20, 1160, 9, 8, 2, 2),
        (20, 264, 64, 4, 1, 1),
    ],
)
def test_warpgroups_of_every_width(form, rows, columns, batch, warps, groups, splits):
    case = Case(form, rows, columns, batch)
    shape = (rows, columns, batch)
    found = try_warpgroup(SMALL_GPU, form.group, *shape, warps, groups, splits)
    assert case.error(found) < EXACT_ENOUGH


@each_form
@pytest.mark.parametrize("batch", [3, 13])
@pytest.mark.parametrize(
    ("rows", "columns", "warps", "depth", "splits"),
    [(40, 392, 3, 2, 1), (100, 808, 8, 1, 1), (70, 1288, 6, 3, 2), (17, 8, 3, 2, 1)],
)
def test_streams_of_every_shape(form, rows, columns, warps, depth, splits, batch):
    case = Case(form, rows, columns, batch)
    found = try_stream(SMALL_GPU, form.group, rows, columns, batch, warps, depth, splits)
    assert case.error(found) < EXACT_ENOUGH


@each_form
@pytest.mark.parametrize(
    ("dtype", "numpy_type"), [("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)]
)
def test_results_are_rounded_once(form, dtype, numpy_type):
    case = Case(form, 20, 136, 2)
    wide = case.emulate(gemv_launch(case))
    narrow = case.emulate(gemv_launch(case), dtype=dtype, numpy_type=numpy_type)
    assert (narrow == wide.astype(numpy_type)).all()


@each_form
@pytest.mark.parametrize("depth", [0, 2])
def test_without_early_launch(form, depth):
    case = Case(form, 20, 136, 1)
    assert case.error(gemv_launch(case, depth=depth), early=False) < EXACT_ENOUGH


@each_form
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dequantize_is_exact(form, dtype):
    case = Case(form, 19, 328, 1)
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    rows, columns = case.shape
    device = DeviceMemory()
    out = device.put(np.zeros(case.shape, kind))
    pointers = [
        *(device.put(a) for a in words.pack_form(case.codes, form)),
        device.put(case.scales),
    ]
    arguments = [np.uint64(p) for p in (*pointers, out)]
    sizes = (rows, columns, form.units(columns), form.tiles(rows))
    arguments += [np.uint32(s) for s in sizes]
    shared = 2 * 16 * run_bytes(form, dtype)
    grid = (blocks_of(form, rows, columns, 2), 1)
    emulate(make_dequantize(form, dtype, early=True), device, grid, 64, arguments, shared)
    expected = form.element.decode(case.codes) * case.scales[:, None]
    assert (device.get(out, case.shape, kind) == expected.astype(kind)).all()


@pytest.mark.parametrize("power", [-133, -100, 0, 60, 127])
def test_bfloat16_rows_keep_their_values(power):
    rng = np.random.default_rng(4)
    x = np.ldexp(rng.uniform(-1, 1, 101), power).astype(ml_dtypes.bfloat16)
    x[3], x[4] = np.inf, np.nan
    device = DeviceMemory()
    out, scales = device.put(np.ones(104, np.float16)), device.put(np.zeros(1, np.float32))
    arguments = [np.uint64(device.put(x)), np.uint64(out), np.uint64(scales)]
    arguments += [np.uint32(101), np.uint32(104)]
    emulate(make_normalize("bfloat16", True), device, (1, 1), THREADS, arguments, 8 * THREADS)
    found = device.get(out, (104,), np.float16).astype(np.float64)
    found *= device.get(scales, (1,), np.float32).astype(np.float64)
    finite = np.isfinite(x.astype(np.float64))
    largest = np.abs(x[finite].astype(np.float64)).max()
    difference = found[:101][finite] - x[finite].astype(np.float64)
    assert np.abs(difference).max() <= largest * 2.0**-38
    assert found[3] == np.inf
    assert np.isnan(found[4])
    assert (found[101:] == 0).all()


@each_form
def test_the_emulator_sees_a_missing_word(form):
    """A launch with too few row tiles leaves outputs unwritten: the test above can fail."""
    case = Case(form, 40, 520, 1)
    good = plan_launch(SMALL_GPU, form.group, *case.shape, 1)
    short = good._replace(blocks=good.blocks - 1)
    assert not case.error(short) < EXACT_ENOUGH
