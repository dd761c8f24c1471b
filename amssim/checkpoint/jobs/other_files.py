"""What lies beside the shards of a checkpoint: copied if it is no other form of the weights."""

from __future__ import annotations

from amssim.checkpoint.safetensors.config import CONFIG_NAME
from amssim.checkpoint.safetensors.index import INDEX_NAME
from amssim.checkpoint.safetensors.source import Checkpoint

# Copying the weights in another container beside quantised ones would be large and misleading.
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf")
_INDEX = ".index.json"


def other_files(checkpoint: Checkpoint) -> tuple[list[str], list[str]]:
    """Return the names of files to copy, and of entries left out: folders, hidden, weights."""
    if not checkpoint.is_directory:
        return [], []
    written = {*checkpoint.shards, CONFIG_NAME, INDEX_NAME}
    names = sorted(p.name for p in checkpoint.path.iterdir() if p.name not in written)
    copied = [name for name in names if _belongs(checkpoint, name)]
    return copied, [name for name in names if name not in copied]


def _belongs(checkpoint: Checkpoint, name: str) -> bool:
    hidden = name.startswith(".")
    weights = name.endswith((*_WEIGHTS, _INDEX))
    return not hidden and not weights and (checkpoint.path / name).is_file()
