"""Reads a checkpoint of amssim's without amssim: json, numpy and the golden vectors' decoder."""

import json
from pathlib import Path

import numpy as np

from golden.reader import restore

TYPES = {"U16": "<u2", "F32": "<f4", "I64": "<i8", "BF16": "<u2", "F16": "<f2"}


def read(folder: Path) -> dict[str, np.ndarray]:
    """Packed tensors as float32 weights, all others as stored (BF16 as its bits)."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        raw = path.read_bytes()
        start = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:start])
        about = json.loads(header.pop("__metadata__")["amssim"])
        stored = {}
        for name, e in header.items():
            first, last = e["data_offsets"]
            array = np.frombuffer(raw[start + first : start + last], TYPES[e["dtype"]])
            stored[name] = array.reshape(e["shape"])
        for name, how in about["packed"].items():
            words, scales = (stored.pop(f"{name}_{part}") for part in ("packed", "scale"))
            shape = stored.pop(f"{name}_shape").tolist()
            flat = words.ravel().tolist(), scales.ravel().tolist(), (len(words), shape[-1])
            rows = restore(*flat, how["scheme"], how["scale_block"])
            stored[name] = np.float32(rows).reshape(shape)
        found |= stored
    return found
