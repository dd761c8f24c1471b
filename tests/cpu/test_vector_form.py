import numpy as np
import pytest
from cpu_cases import WITHOUT_AVX2, random_packed, uses_avx2

from amssim import InputError, ResourceError
from amssim.cpu import avx2
from amssim.tensor.product import gemv


@pytest.fixture
def packed():
    return random_packed("fp5.33", 2, 9)


@WITHOUT_AVX2
@pytest.mark.parametrize(("choice", "fast"), [("", True), ("auto", True), ("plain", False)])
def test_the_variable_forces_the_plain_kernels(packed, monkeypatch, choice, fast):
    monkeypatch.setenv(avx2.VARIABLE, choice)
    assert uses_avx2(packed) is fast


@WITHOUT_AVX2
def test_only_published_schemes_with_a_scale_per_row_have_avx2_kernels():
    assert uses_avx2(random_packed("fp4.25", 2, 9))
    assert not uses_avx2(random_packed("fp4.25", 2, 9, scale_block=4))
    assert not uses_avx2(random_packed("fp5.33-e3m2", 2, 9))


def test_an_unknown_choice_is_named(packed, monkeypatch):
    monkeypatch.setenv(avx2.VARIABLE, "sse")
    with pytest.raises(InputError, match="AMSSIM_CPU is 'sse': choose one of auto, avx2, plain"):
        gemv(packed, np.zeros(9))


def test_avx2_cannot_be_forced_on_a_cpu_without(packed, monkeypatch):
    monkeypatch.setattr(avx2, "missing_features", lambda: ("f16c", "fma"))
    assert not uses_avx2(packed)
    monkeypatch.setenv(avx2.VARIABLE, "avx2")
    with pytest.raises(ResourceError, match="AMSSIM_CPU=avx2 needs a CPU with f16c, fma: unset it"):
        gemv(packed, np.zeros(9))
