"""Checkpoints for tests, written with json and struct alone so that any fault can be put in."""

import json
import os
import struct
from pathlib import Path

import ml_dtypes
import numpy as np

DTYPES = {
    "bfloat16": "BF16",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "int64": "I64",
    "uint16": "U16",
    "uint8": "U8",
}
INDEX = "model.safetensors.index.json"


def raw_file(header, data: bytes = b"") -> bytes:
    """A safetensors file with any header: a value for JSON, or bytes as they are."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, start, stop) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


def write_tensors(path: Path, tensors: dict[str, np.ndarray], metadata=None) -> Path:
    header, data = {"__metadata__": metadata or {"format": "pt"}}, b""
    for name, array in tensors.items():
        raw = array.tobytes()
        header[name] = entry(DTYPES[array.dtype.name], array.shape, len(data), len(data) + len(raw))
        data += raw
    path.write_bytes(raw_file(header, data))
    return path


def new_file(path: Path) -> int:
    """Descriptor of a new file, open for writing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)


def split(path: Path) -> tuple[dict, bytes]:
    """Header and data of a file."""
    raw = path.read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def weights(*shape, seed=0, dtype="bfloat16") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def model_tensors() -> dict[str, dict[str, np.ndarray]]:
    """Two shards with something of each kind that is kept or quantised."""
    one = {
        "model.embed_tokens.weight": weights(32, 24),
        "model.layers.0.input_layernorm.weight": weights(24, seed=1),
        "model.layers.0.self_attn.q_proj.weight": weights(24, 24, seed=2),
        "model.layers.0.mlp.up_proj.weight": weights(70, 24, seed=3),
    }
    two = {
        "model.layers.1.mlp.gate.weight": weights(4, 24, seed=4),
        "model.layers.1.mlp.experts.down_proj": weights(3, 24, 70, seed=5),
        "model.layers.1.mlp.up_proj.bias": weights(70, seed=6),
        "model.layers.1.steps": np.array(7, np.int64),
        "lm_head.weight": weights(32, 24, seed=7, dtype="float32"),
    }
    return {"model-00001-of-00002.safetensors": one, "model-00002-of-00002.safetensors": two}


CONFIG = {"model_type": "llama", "hidden_size": 24, "time_step_limit": [0.0, float("inf")]}


def make_model(folder: Path, shards=None, config=CONFIG) -> Path:
    """A sharded checkpoint with index, config.json and tokenizer."""
    folder.mkdir()
    shards = shards or model_tensors()
    for name, tensors in shards.items():
        write_tensors(folder / name, tensors)
    where = {t: name for name, tensors in shards.items() for t in tensors}
    total = sum(a.nbytes for tensors in shards.values() for a in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (folder / INDEX).write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {p.name: p.read_bytes() for p in folder.iterdir()}


assert ml_dtypes.bfloat16  # registers the name
