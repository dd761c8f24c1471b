import pytest
from cpu_cases import PATHS

from amssim.cpu import avx2
from amssim.tensor import product


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Both kinds of kernels, one after the other."""
    monkeypatch.setenv(avx2.VARIABLE, request.param)
    return request.param


@pytest.fixture
def many_threads(monkeypatch):
    """Small products take every thread they are offered."""
    monkeypatch.setattr(product, "_PRODUCTS_PER_THREAD", 1)
