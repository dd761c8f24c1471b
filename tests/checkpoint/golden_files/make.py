"""Writes golden files of the present format that do not exist yet; never rewrites one.

python tests/checkpoint/golden_files/make.py
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

import amssim  # noqa: E402
from checkpoint.builders import write_tensors  # noqa: E402

FORMAT_1 = HERE / "format-1.safetensors"
OPTIONS = {"rules": [r"q_proj=fp4.25", "lm_head=fp6-e3m2"], "scale_block": 32}


def numbers(*shape) -> np.ndarray:
    """Weights from -8 to 8 that look random and need no random numbers."""
    count = np.arange(int(np.prod(shape)), dtype=np.uint32)
    return ((count * np.uint32(2654435761) >> np.uint32(16)) / 4096.0 - 8).reshape(shape)


def source(path: Path) -> Path:
    """One tensor of each kind."""
    tensors = {
        "lm_head.weight": numbers(2, 20).astype(np.float32),
        "experts.up_proj": numbers(2, 3, 70).astype(np.float16),
        "layers.0.q_proj.weight": numbers(3, 70).astype("bfloat16"),
        "norm.weight": numbers(5).astype("bfloat16"),
    }
    return write_tensors(path, tensors)


if __name__ == "__main__" and not FORMAT_1.exists():
    with tempfile.TemporaryDirectory() as folder:
        amssim.quantize_checkpoint(source(Path(folder, "a.safetensors")), FORMAT_1, **OPTIONS)
