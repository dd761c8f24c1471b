import os
import subprocess
import sys

from cpu_cases import WITHOUT_AVX2

SCRIPT = """
import numpy as np
from amssim.cpu import kernels
from amssim.tensor.product import gemv
from amssim.tensor.packed import PackedTensor
words = np.zeros((1, 17), np.uint16)
packed = PackedTensor("fp4.25", (1, 64), words, np.ones((1, 1), np.float32))
gemv(packed, np.zeros(64), activations="int8")
print(sum(kernels.add_up_integers.stats.cache_misses.values()))
"""


@WITHOUT_AVX2
def test_a_second_process_compiles_nothing(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "AMSSIM_CPU": "avx2"}
    misses = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True
        )
        for _ in range(2)
    ]
    assert [int(run.stdout) for run in misses] == [1, 0]
