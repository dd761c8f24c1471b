"""Sealed checkpoints for tests, tiny ones too, and the ways to damage one."""

import json
from pathlib import Path

import numpy as np

from amssim.checkpoint import quantize_checkpoint, seal_checkpoint
from checkpoint.builders import make_model, weights

ONE, TWO = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
SEAL, CONFIG, INDEX = "amssim.seal.json", "config.json", "model.safetensors.index.json"


def tiny_shards(seed=0):
    """Two shards of as few bytes as can be: one matrix and one vector."""
    matrix = weights(1, 3, seed=seed)
    return {ONE: {"a.weight": matrix}, TWO: {"b": np.arange(2, dtype=np.float32)}}


def sealed_set(folder: Path, scheme="fp4.25", *, shards=None, seed=0) -> Path:
    """A sealed set made from a model beside it."""
    model = make_model(
        folder.with_name(f"{folder.name}-source"), shards or tiny_shards(seed), {"model_type": "x"}
    )
    quantize_checkpoint(model, folder, scheme)
    seal_checkpoint(folder)
    return folder


def seal_of(folder: Path) -> dict:
    return json.loads((folder / SEAL).read_text())
