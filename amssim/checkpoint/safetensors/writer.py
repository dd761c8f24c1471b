"""Writes one safetensors file in pieces; its bytes depend on nothing but what is stored.

The safetensors library needs every tensor of a file in memory at once and writes metadata keys in
random order, so files are written here: tensors placed as the library places them, at positions
known before any is computed, the header last because it holds their checksums.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable
from math import prod
from pathlib import Path

import numpy as np

from amssim.checkpoint.packed.manifest import Manifest, crc_text
from amssim.checkpoint.packed.stored import Spec
from amssim.checkpoint.safetensors.header import DTYPE_BITS, METADATA, TensorInfo

_ALIGNMENT = 8


def place(specs: Iterable[Spec], copied: Iterable[TensorInfo] = ()) -> list[TensorInfo]:
    """Give tensors their place in the data: widest elements first, then by name, without holes.

    ``copied`` tensors keep their size, which an unknown dtype does not tell.
    """
    sizes = {info.name: info.nbytes for info in copied}
    placed, start = [], 0
    for spec in sorted(specs, key=lambda s: (-DTYPE_BITS.get(s.dtype, 0), s.name)):
        nbytes = sizes.get(spec.name)
        if nbytes is None:
            nbytes = DTYPE_BITS[spec.dtype] * prod(spec.shape) // 8
        placed.append(TensorInfo(*spec, start, start + nbytes))
        start += nbytes
    return placed


def header_bytes(tensors: Iterable[TensorInfo], metadata: dict[str, str]) -> bytes:
    """Return length and JSON of a header, padded with spaces to whole 8 bytes."""
    entries = {METADATA: metadata} | {
        info.name: {
            "dtype": info.dtype,
            "shape": info.shape,
            "data_offsets": (info.start, info.stop),
        }
        for info in tensors
    }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


class ShardWriter:
    """A file being written; ``path`` must not exist. Each tensor is written from start to end.

    Without a manifest the file is plain safetensors that any loader takes.
    """

    def __init__(self, path: Path, tensors: list[TensorInfo], manifest: Manifest | None):
        self._tensors, self._manifest = tensors, manifest
        self._position = {info.name: info.start for info in tensors}
        self._crc = dict.fromkeys(self._position, 0)
        self._data_start = len(self._header())
        # 0o666 and the umask decide the mode, as for any file that `open` makes.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)

    @staticmethod
    def size(tensors: list[TensorInfo], manifest: Manifest | None) -> int:
        """Bytes of the file that would be written."""
        end = tensors[-1].stop if tensors else 0
        return len(header_bytes(tensors, _metadata(tensors, manifest, {}))) + end

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind, *rest) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            os.close(self._file)

    def write(self, name: str, data: np.ndarray | bytes) -> None:
        """Append to tensor ``name``: bytes, or an array of its dtype in C order."""
        if isinstance(data, np.ndarray):
            data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        raw = memoryview(data)
        self._crc[name] = zlib.crc32(raw, self._crc[name])
        self._put(raw, self._data_start + self._position[name])
        self._position[name] += len(raw)

    def _put(self, raw: memoryview, position: int) -> None:
        while raw:
            written = os.pwrite(self._file, raw, position)
            raw, position = raw[written:], position + written

    def _finish(self) -> None:
        unfinished = [i.name for i in self._tensors if self._position[i.name] != i.stop]
        assert not unfinished, unfinished
        self._put(memoryview(self._header()), 0)
        os.fsync(self._file)

    def _header(self) -> bytes:
        crcs = {name: crc_text(crc) for name, crc in self._crc.items()}
        return header_bytes(self._tensors, _metadata(self._tensors, self._manifest, crcs))


def _metadata(tensors, manifest: Manifest | None, crcs: dict[str, str]) -> dict[str, str]:
    return manifest.metadata(tensors, crcs) if manifest else {"format": "pt"}
