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
from checkpoint.builders import make_model, write_tensors  # noqa: E402

FORMAT_1 = HERE / "format-1.safetensors"
FORMAT_2, FORMAT_2_SET = HERE / "format-2" / "one.safetensors", HERE / "format-2-set"
OPTIONS = {"rules": [r"q_proj=fp4.25", "lm_head=fp6-e3m2"], "scale_block": 32}
SHARDS = {
    "model-00001-of-00002.safetensors": ("lm_head.weight", "norm.weight"),
    "model-00002-of-00002.safetensors": ("experts.up_proj", "layers.0.q_proj.weight"),
}


def numbers(*shape) -> np.ndarray:
    """Weights from -8 to 8 that look random and need no random numbers."""
    count = np.arange(int(np.prod(shape)), dtype=np.uint32)
    return ((count * np.uint32(2654435761) >> np.uint32(16)) / 4096.0 - 8).reshape(shape)


def tensors() -> dict[str, np.ndarray]:
    """One tensor of each kind."""
    return {
        "lm_head.weight": numbers(2, 20).astype(np.float32),
        "experts.up_proj": numbers(2, 3, 70).astype(np.float16),
        "layers.0.q_proj.weight": numbers(3, 70).astype("bfloat16"),
        "norm.weight": numbers(5).astype("bfloat16"),
    }


def source(path: Path) -> Path:
    """The tensors in one file."""
    return write_tensors(path, tensors())


def source_set(folder: Path) -> Path:
    """The same in two shards, with config.json, index and tokenizer."""
    known = tensors()
    shards = {name: {t: known[t] for t in names} for name, names in SHARDS.items()}
    return make_model(folder, shards, {"model_type": "llama", "hidden_size": 70})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        if not FORMAT_2.exists():
            amssim.quantize_checkpoint(source(Path(folder, "a.safetensors")), FORMAT_2, **OPTIONS)
        if not FORMAT_2_SET.exists():
            amssim.quantize_checkpoint(source_set(Path(folder, "set")), FORMAT_2_SET, **OPTIONS)
