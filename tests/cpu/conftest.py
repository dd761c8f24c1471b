import pytest
from cpu_cases import PATHS

from amssim.cpu import features
from amssim.tensor import product


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Both kinds of kernels, one after the other."""
    monkeypatch.setenv(features.VARIABLE, request.param)
    return request.param


@pytest.fixture
def many_threads(monkeypatch):
    """Small products take every thread they are offered."""
    monkeypatch.setattr(product, "_PRODUCTS_PER_THREAD", 1)
