"""Extract the matrices that ship with the package from a checkpoint.

python analysis/demo_weights.py CHECKPOINT
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import ml_dtypes  # noqa: F401 (teaches numpy bfloat16, which safetensors needs)
from safetensors import safe_open
from safetensors.numpy import save

TARGET = Path(__file__).parents[1] / "amssim" / "data" / "demo-weights.safetensors"
LAYER = "model.layers.3"
NAMES = [
    f"{LAYER}.{part}.weight" for part in ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
]


def main() -> None:
    """Copy `NAMES` as they are, BF16."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    source = parser.parse_args().checkpoint
    where = json.loads((source / "model.safetensors.index.json").read_text())["weight_map"]
    tensors = {}
    for name in NAMES:
        with safe_open(source / where[name], "numpy") as shard:
            tensors[name] = shard.get_tensor(name)
    TARGET.write_bytes(save(tensors, {"format": "pt"}))


if __name__ == "__main__":
    main()
