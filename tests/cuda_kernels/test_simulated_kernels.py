"""The plain kernels in Numba's CUDA simulator, for every preset, in a process of its own."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np, warnings
warnings.simplefilter("ignore")
from numba import cuda
import amssim
from amssim import reference
from amssim.layout import layout
from cuda_kernels.forms import device, form_of, host as words, widen_codes
from cuda_kernels.forms.canonical import canonical_numbers
from cuda_kernels.plain import generic

rng = np.random.default_rng(0)
for name in {names}:
    scheme, rows, columns = amssim.scheme(name), 3, 70
    canonical = rng.integers(0, 2**16, (rows, layout(scheme).row_words(columns)), np.uint16)
    codes = reference.unpack(canonical, scheme, columns)
    form, values = canonical_numbers(scheme), np.array(scheme.minifloat.values)
    scales = rng.random((rows, 3)).astype(np.float32)
    x = rng.standard_normal((2, columns)).astype(np.float32)
    sizes = (np.uint32(columns), np.uint32(32))
    dense = np.zeros((rows, columns), np.float32)
    generic.plain_dequantize[(1, rows), 128](canonical, scales, values, dense, *sizes, form)
    expected = scheme.minifloat.decode(codes) * reference.spread(scales, columns, 32)
    assert (dense == expected).all(), name
    out = np.zeros((2, rows), np.float32)
    generic.plain_gemv[(rows, 2), generic.THREADS](canonical, scales, values, x, out, *sizes, form)
    product = x.astype(np.float64) @ expected.astype(np.float64).T
    assert np.abs(out - product).max() < 1e-4, name
    kernel_form = form_of(scheme)
    if kernel_form is not None:
        packed, tails = words.pack_form(widen_codes(codes, scheme, kernel_form), kernel_form)
        found, found_tails = device.pack_on_gpu(canonical, scheme, kernel_form, (rows, columns))
        assert (found.copy_to_host() == packed).all(), name
        assert not tails.size or (found_tails.copy_to_host() == tails).all(), name
        again = device.unpack_on_gpu(found, found_tails, scheme, kernel_form, (rows, columns))
        assert (again.copy_to_host() == reference.pack(codes, scheme)).all(), name
print("simulated")
"""
NAMES = [["fp5.33", "fp6-e3m2"], ["fp4.25", "fp4.5-e2m2"]]


@pytest.mark.parametrize("names", NAMES, ids=str)
def test_plain_kernels_in_the_simulator(names):
    pytest.importorskip("numba_cuda")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(names=names)],
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "simulated", done.stderr[-2000:]
