"""Peak memory of quantising: below what the plan states, and that below three times the largest
tensor in float32."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from amssim.checkpoint import plan_quantize
from checkpoint.builders import weights, write_tensors

# What the interpreter holds with everything imported and compiled is measured in the process
# itself: a tiny checkpoint of the same kind goes first. VmHWM is the peak resident set.
CODE = """
import re, sys
from pathlib import Path
from amssim.checkpoint import quantize_checkpoint
def peak(field):
    status = Path("/proc/self/status").read_text()
    return int(re.search(field + r":\\s+(\\d+) kB", status)[1]) * 1024
tiny, src, out, block = sys.argv[1:]
if int(block):
    from amssim.checkpoint.jobs import pieces
    pieces.TASK_ELEMENTS = pieces.TASK_BYTES = int(block)
quantize_checkpoint(tiny, out + ".tiny.safetensors", threads=2)
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
before = peak("VmRSS")
quantize_checkpoint(src, out, threads=2)
print(peak("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("dtype", "block"), [("bfloat16", 0), ("float32", 0), ("bfloat16", 1 << 16)]
)
def test_48_peak_memory(tmp_path, dtype, block):
    rows, columns = 2048, 2048
    tiny = write_tensors(tmp_path / "t.safetensors", {"x.weight": weights(300, 300, dtype=dtype)})
    matrix = np.tile(weights(64, columns, dtype=dtype), (rows // 64, 1))
    src = write_tensors(tmp_path / "a.safetensors", {f"{i}.weight": matrix for i in range(4)})
    command = [sys.executable, "-c", CODE, tiny, src, tmp_path / "b.safetensors", str(block)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    used, stated = int(done.stdout), plan_quantize(src, threads=2).peak_bytes
    assert used <= stated <= 16_000_000 + 2 * 2 * matrix.nbytes
    if block:  # small pieces: little else than what the allocator keeps
        assert used <= matrix.nbytes
