"""The cache of compiled kernels: used, fresh, and never in the way. Other CPUs."""

import errno
import json
import os
import subprocess
import sys

import numba
import pytest
from numba.core import caching

from amssim import _jit

EVERYTHING = """
import json, sys
import numpy as np
from numba.core import event
import amssim

compiled = []

class Listener(event.Listener):
    def on_start(self, started):
        compiled.append(started.data["dispatcher"].__qualname__)
    def on_end(self, ended):
        pass

event.register("numba:compile", Listener())
weights = np.random.default_rng(0).standard_normal((3, 200)).astype(np.float32)
results = []
for scheme in ("fp5.33", "fp4.25", "fp4.5", "ams-e3m3-k7"):
    for scale in sys.argv[1:]:
        packed = amssim.quantize(weights, scheme, scale=scale, importance=np.ones(200))
        assert (amssim.pack(packed.codes(), scheme) == packed.words).all()
        results.append([packed.words.tolist(), packed.dequantize().tobytes().hex()])
print(json.dumps([compiled, results]))
"""


def run_everything(*scales, **variables):
    command = [sys.executable, "-c", EVERYTHING, *scales]
    done = subprocess.run(command, capture_output=True, check=True, env=os.environ | variables)
    return json.loads(done.stdout)


def test_a_second_process_compiles_nothing():
    _, results = run_everything("absmax", "mse")
    assert run_everything("absmax", "mse") == [[], results]


def test_a_cpu_without_any_extension_gives_the_same_bits():
    _, results = run_everything("absmax")
    _, plain = run_everything("absmax", NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES="")
    assert plain == results


@pytest.fixture
def cache_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


def make_kernel():
    def add_one(x):
        return x + 1

    return _jit.jit(add_one)


def hits(kernel):
    assert kernel(1) == 2
    return sum(kernel.stats.cache_hits.values())


def test_a_kernel_is_read_from_the_cache(cache_directory):
    assert [hits(make_kernel()) for _ in range(2)] == [0, 1]


def test_a_damaged_cache_is_ignored(cache_directory):
    hits(make_kernel())
    for name in ("*.nbi", "*.nbc"):
        for file in cache_directory.rglob(name):
            file.write_bytes(file.read_bytes()[:-20])
        assert hits(make_kernel()) == 0


def test_a_cache_that_cannot_be_written_is_ignored(cache_directory, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    assert [hits(make_kernel()) for _ in range(2)] == [0, 0]


def test_without_a_cache_directory_kernels_are_not_cached(monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert [hits(make_kernel()) for _ in range(2)] == [0, 0]
