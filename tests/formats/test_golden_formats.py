"""Against quantisers of other packages, frozen by tests/golden/make_formats.py."""

import numpy as np
import pytest

from amssim import formats
from amssim.formats.rivals.integer import AsymmetricInteger, Integer
from amssim.formats.rounding.kmeans import nearest_centroids, row_centroids
from formats.golden_formats import cases


@pytest.mark.parametrize("case", cases("gguf"), ids=lambda c: f"Q{c['bits']}_0")
def test_symmetric_integers_are_those_of_gguf(case):
    form = Integer(bits=case["bits"], scale_block=case["group"])
    restored = form.quantize(case["weights"]).dequantize()
    # gguf rounds halves up and we to even: let either neighbour pass at an exact half
    differs = restored != case["restored"]
    twice = 2 * case["weights"].astype(np.float64)
    assert np.array_equal((restored + case["restored"])[differs], twice[differs])
    assert differs.mean() < 0.01


@pytest.mark.parametrize("case", cases("torch"), ids=lambda c: f"uint{c['bits']}")
def test_asymmetric_integers_are_those_of_torch(case):
    form = AsymmetricInteger(bits=case["bits"], scale_block=case["group"])
    assert np.array_equal(form.quantize(case["weights"]).dequantize(), case["restored"])


@pytest.mark.parametrize("case", cases("bitsandbytes"), ids=lambda c: f"nf{c['bits']}")
def test_normal_floats_are_those_of_bitsandbytes(case):
    form = formats.find_format("nf4", bits=case["bits"], scale_block=case["group"])
    restored = form.quantize(case["weights"]).dequantize()
    assert restored == pytest.approx(case["restored"], rel=1e-6)  # theirs has 7 digits


@pytest.mark.parametrize("case", cases("scikit_learn"), ids=lambda c: f"{2 ** c['bits']} centroids")
def test_exact_kmeans_is_no_worse_than_scikit_learn(case):
    w, h = case["weights"], case["importance"].reshape(1, -1)
    centroids = row_centroids(w, h, 2 ** case["bits"])
    codes = nearest_centroids(w, centroids)
    error = (h * (w - centroids[0, codes].astype(np.float64)) ** 2).sum()
    assert error <= case["error"] * (1 + 1e-9)
    assert error > 0.8 * case["error"]  # and not better by a mistake in the sum
