import pytest
from cpu_cases import PATHS

from amssim import _threads
from amssim.cpu import avx2


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Both kinds of kernels, one after the other."""
    monkeypatch.setenv(avx2.VARIABLE, request.param)
    return request.param


@pytest.fixture
def many_threads(monkeypatch):
    """Small products take every thread they are offered."""
    monkeypatch.setattr(_threads, "_PRODUCTS_PER_THREAD", 1)
