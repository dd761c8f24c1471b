"""Packed tensors of any bits, and files of amssim's changed so that the checksums fit."""

import json
import zlib

import numpy as np

from amssim import PackedTensor, scheme
from amssim.checkpoint.packed.manifest import header_crc
from amssim.checkpoint.safetensors.header import TensorInfo
from amssim.layout import layout
from checkpoint.builders import raw_file, split


def packed_of(name="fp4.25", rows=3, columns=70, block=None, seed=0):
    s, rng = scheme(name), np.random.default_rng(seed)
    words = rng.integers(0, 2**16, (rows, layout(s).row_words(columns)), np.uint16)
    scales = rng.random((rows, -(-columns // block) if block else 1), np.float32) + 1
    return PackedTensor(s, (rows, columns), words, scales, block)


def rewrite(path, change_manifest=lambda m: None, change_header=lambda h: None, data=None):
    """Change the manifest, the header or the data of a file."""
    header, old = split(path)
    data = old if data is None else data
    manifest = json.loads(header["__metadata__"]["amssim"])
    change_header(header)
    for name in header.keys() & manifest["crc32"].keys():
        first, last = header[name]["data_offsets"]
        manifest["crc32"][name] = f"{zlib.crc32(data[first:last]):08x}"
    change_manifest(manifest)
    infos = [
        TensorInfo(name, e["dtype"], tuple(e["shape"]), *e["data_offsets"])
        for name, e in header.items()
        if name != "__metadata__"
    ]
    manifest["header_crc32"] = header_crc(manifest, infos)
    header["__metadata__"]["amssim"] = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    text = json.dumps(header, separators=(",", ":")).encode()
    path.write_bytes(raw_file(text + b" " * (-len(text) % 8), data))
