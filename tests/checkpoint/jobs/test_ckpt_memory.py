"""Peak memory of every job stays below what its plan states, above an interpreter at rest."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from checkpoint.builders import weights, write_tensors

# What the interpreter holds with everything imported and compiled is measured in the process
# itself: a tiny checkpoint of the same kind goes first. VmHWM is the peak resident set.
CODE = """
import re, sys
from pathlib import Path
from amssim.checkpoint import (
    dequantize_checkpoint, plan_dequantize, plan_quantize, quantize_checkpoint, verify_checkpoint,
)
def peak(field):
    status = Path("/proc/self/status").read_text()
    return int(re.search(field + r":\\s+(\\d+) kB", status)[1]) * 1024
def measured(job, tiny, large):
    job(*tiny)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = peak("VmRSS")
    result = job(*large)
    return peak("VmHWM") - before, result
def paths(name):
    return [f"{sys.argv[1]}/{name}{part}.safetensors" for part in ("", "-packed", "-plain")]
threads = int(sys.argv[2])
tiny, large = paths("tiny"), paths("large")
def quantize(src, packed, plain):
    quantize_checkpoint(src, packed, threads=threads)
def verify(src, packed, plain):
    return verify_checkpoint(packed, threads=threads)
def compare(src, packed, plain):
    return verify_checkpoint(packed, src, threads=threads)
def dequantize(src, packed, plain):
    dequantize_checkpoint(packed, plain, threads=threads)
for job in (quantize, verify, compare, dequantize):
    used, result = measured(job, tiny, large)
    plan = {
        quantize: lambda: plan_quantize(large[0], threads=threads),
        dequantize: lambda: plan_dequantize(large[1], threads=threads),
    }.get(job, lambda: result)()
    print(job.__name__, used, plan.peak_bytes)
"""

CASES = {
    "bfloat16": {f"{i}.weight": ("bfloat16", (1024, 4096)) for i in range(4)},
    "float32": {f"{i}.weight": ("float32", (1024, 4096)) for i in range(4)},
    "huge rows": {f"{i}.weight": ("bfloat16", (3, 1 << 23)) for i in range(2)},
    "experts": {"model.experts.up": ("bfloat16", (32, 256, 2048))},
    "kept": {"embed.weight": ("bfloat16", (1 << 15, 1024)), "x.weight": ("bfloat16", (8, 8))},
}


def filled(dtype, shape) -> np.ndarray:
    return np.resize(weights(1 << 16, dtype=dtype), shape)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(("case", "threads"), [*((case, 2) for case in CASES), ("bfloat16", 8)])
def test_48_peak_memory(tmp_path, case, threads):
    tensors = {name: filled(*form) for name, form in CASES[case].items()}
    dtype = next(iter(CASES[case].values()))[0]
    write_tensors(tmp_path / "tiny.safetensors", {"x.weight": weights(300, 300, dtype=dtype)})
    write_tensors(tmp_path / "large.safetensors", tensors)
    command = [sys.executable, "-c", CODE, tmp_path, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [line.split() for line in done.stdout.splitlines()]
    assert len(found) == 4
    largest = max(2 * array.size for array in tensors.values())
    for job, used, stated in found:
        assert int(used) <= int(stated) <= threads * (40_000_000 + 6 * largest), (job, used, stated)
