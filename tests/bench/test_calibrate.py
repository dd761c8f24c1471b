"""Microbenchmark kernels do the work they are timed for; profiles come out whole."""

from types import SimpleNamespace

import numpy as np
import pytest
from bench_cases import PATIENT, FixedTimer, quick_calibration

from amssim.bench import calibrate_cpu, calibrate_gpu
from amssim.bench.calibration import cpu as calibration
from amssim.bench.calibration import cpu_kernels as kernels
from amssim.bench.calibration import gpu as gpu_calibration
from amssim.bench.calibration.cpu import _one_cycle
from amssim.errors import InputError, ResourceError
from amssim.hardware import from_json
from amssim.simulator import predict_speedup


def test_total_reads_every_word():
    words = np.random.default_rng(0).integers(0, 2**32, 1001, dtype=np.uint64)
    assert kernels.total(words) == words.sum()


def test_chase_walks_the_cycle():
    following = _one_cycle(100)
    seen, at = [], 0
    for _ in range(100):
        seen.append(at)
        at = kernels.chase(following, 1) if at == 0 else following[at]
    assert sorted(seen) == list(range(100)) and kernels.chase(following, 100) == 0


def test_chain_is_the_xorshift_generator():
    x = 88172645463325252
    for _ in range(3):
        x ^= (x << 13) % 2**64
        x ^= x >> 7
        x ^= (x << 17) % 2**64
    assert kernels.chain(3) == x


def test_vector_kernels_compute_what_they_say():
    x = np.arange(64, dtype=np.uint32)
    v = x.copy()
    for _ in range(4):
        for left, by in ((True, 13), (False, 17), (True, 5)):
            v ^= (v << np.uint32(by)) if left else (v >> np.uint32(by))
    kernels.shifts(x, 1)
    assert (x == v).all()
    y = np.linspace(-1, 1, 64, dtype=np.float32)
    w = y.astype(np.float64)
    for _ in range(16):
        w = w * np.float32(0.999) + np.float32(1e-3)
    kernels.multiply_adds(y, 1)
    assert y == pytest.approx(w, rel=1e-5)


def test_calibrated_cpu_is_a_profile_that_predicts(monkeypatch):
    quick_calibration(monkeypatch, PATIENT)
    found = calibrate_cpu("here", threads=1)
    assert found.calibrated and from_json(found.as_dict(), "here") == found
    assert found.value("sms") == 1 and 5e8 < found.value("clock_hz") < 1e10
    assert float(predict_speedup(4.25, device=found, shape=(1024, 1024))) > 0


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, 10**6])
def test_threads_are_checked(threads):
    with pytest.raises(InputError, match="threads is"):
        calibrate_cpu(threads=threads)


def test_without_a_gpu_there_is_a_sentence():
    from numba import cuda

    if cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ResourceError, match="no NVIDIA GPU with a working driver here"):
        calibrate_gpu("here")


def test_figures_follow_from_the_times(monkeypatch):
    quick_calibration(monkeypatch, FixedTimer(1e-3))
    measured = calibrate_cpu("here", threads=1)
    steps = calibration._STEPS
    assert measured.value("dram_bytes_per_s") == pytest.approx(4 * 2**23 / 1e-3)  # four passes
    assert measured.value("load_latency_s") == pytest.approx(1e-3 / steps)
    assert measured.value("clock_hz") == pytest.approx(6 * steps / 1e-3)
    lanes = 2**11 * 200 / (6 * steps)  # elements a clock
    assert measured.value("alu_lanes") == pytest.approx(24 * lanes)
    assert measured.value("imad_lanes") == pytest.approx(8 * lanes)
    assert measured.value("half_lanes") == pytest.approx(16 * lanes)
    assert measured.value("issue_lanes") == pytest.approx(40 * lanes)
    assert measured.value("tensor_flops") == pytest.approx(2 * 16 * 2**11 * 200 / 1e-3)
    assert measured.value("launch_graph_s") == measured.value("launch_stream_s") == 1e-3


def test_the_title_names_the_processor(monkeypatch):
    quick_calibration(monkeypatch, FixedTimer(1e-3))
    monkeypatch.setattr(calibration, "processor_name", lambda: "A fast one")
    measured = calibrate_cpu("here", threads=1)
    assert (measured.name, measured.title) == ("here", "A fast one, 1 threads")
    assert (measured.kind, measured.calibrated) == ("cpu", True)


def test_a_gpus_limits_are_attributes_of_the_device():
    device = SimpleNamespace(
        MAX_THREADS_PER_MULTIPROCESSOR=2048,
        WARP_SIZE=32,
        MAX_REGISTERS_PER_MULTIPROCESSOR=65536,
        MAX_SHARED_MEMORY_PER_MULTIPROCESSOR=233472,
    )
    limits = gpu_calibration._limits(SimpleNamespace(device=device))
    assert {name: figure.value for name, figure in limits.items()} == {
        "warps_per_sm": 64, "registers_per_sm": 65536, "shared_bytes_per_sm": 233472
    }  # fmt: skip
    assert all(figure.source for figure in limits.values())
