"""GPUs for tests, without one."""

import pytest
from fake_gpu import FakeGpu
from loaded import forget


@pytest.fixture
def without_caches():
    """Nothing that one test has loaded is seen by another."""
    forget()
    yield
    forget()


@pytest.fixture
def noting_gpu(monkeypatch, without_caches):
    """A GPU that notes what is launched, and runs nothing."""
    gpu = FakeGpu(nbytes=1 << 24)
    gpu.install(monkeypatch)
    return gpu


@pytest.fixture
def emulated_gpu(monkeypatch, without_caches):
    """A GPU that runs what is launched on the emulator."""
    gpu = FakeGpu(emulate=True)
    gpu.install(monkeypatch)
    return gpu
