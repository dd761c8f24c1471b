"""Writes one safetensors file in pieces; its bytes depend on nothing but what is stored.

The safetensors library needs every tensor of a file in memory at once and writes metadata keys in
random order, so files are written here: tensors by falling width of their elements, which keeps
them aligned and is the library's order too, at positions known before any is computed; the header
last because its metadata may hold their checksums.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from amssim.checkpoint.safetensors.header import DTYPE_BITS, METADATA, TensorInfo, TensorSpec
from amssim.errors import InputError

_ALIGNMENT = 8

#: Makes the metadata of a file from the CRC-32 of every tensor in it; the length of the texts must
#: not depend on the sums, because the header's size is needed before they are known.
MetadataOf = Callable[[Mapping[str, int]], dict[str, str]]


def plain_metadata(crcs: Mapping[str, int]) -> dict[str, str]:
    """Return the metadata of a file that any loader takes."""
    return {"format": "pt"}


def place(specs: Iterable[TensorSpec], copied: Iterable[TensorInfo] = ()) -> list[TensorInfo]:
    """Give tensors their place in the data: widest elements first, then by name, without holes.

    ``copied`` tensors keep their size, which an unknown dtype does not tell.

    >>> for info in place([TensorSpec("b", "U8", (3,)), TensorSpec("a", "F32", (2,))]):
    ...     print(info.name, info.start, info.stop)
    a 0 8
    b 8 11
    """
    sizes = {info.name: info.nbytes for info in copied}
    placed, start = [], 0
    for spec in sorted(specs, key=lambda s: (-DTYPE_BITS.get(s.dtype, 0), s.name)):
        nbytes = sizes.get(spec.name)
        stop = start + (spec.nbytes if nbytes is None else nbytes)
        placed.append(TensorInfo(*spec, start, stop))
        start = stop
    return placed


def header_bytes(tensors: Iterable[TensorInfo], metadata: dict[str, str]) -> bytes:
    """Return length and JSON of a header, padded with spaces to whole 8 bytes."""
    entries: dict[str, object] = {METADATA: metadata}
    for info in tensors:
        offsets = (info.start, info.stop)
        entries[info.name] = {"dtype": info.dtype, "shape": info.shape, "data_offsets": offsets}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def file_size(tensors: list[TensorInfo], metadata: MetadataOf = plain_metadata) -> int:
    """Bytes of the file that `ShardWriter` writes for the same arguments."""
    end = tensors[-1].stop if tensors else 0
    return len(_header(tensors, metadata, {})) + end


class ShardWriter:
    """A file being written; ``path`` must not exist. Each tensor is written from start to end.

    Raises:
        InputError: on writing more than a tensor takes, or leaving with less.
    """

    def __init__(
        self, path: Path, tensors: list[TensorInfo], metadata: MetadataOf = plain_metadata
    ):
        self._path, self._metadata = path, metadata
        self._tensors = {info.name: info for info in tensors}
        self._written = dict.fromkeys(self._tensors, 0)
        self._crc = dict.fromkeys(self._tensors, 0)
        self._data_start = len(_header(tensors, metadata, {}))
        # 0o666 and the umask decide the mode, as for any file that `open` makes.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            os.close(self._file)

    def write(self, name: str, data: np.ndarray | bytes) -> None:
        """Append to tensor ``name``: bytes, or an array of its dtype in C order."""
        if isinstance(data, np.ndarray):
            raw = np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
        else:
            raw = memoryview(data)
        info, written = self._tensors[name], self._written[name]
        if written + len(raw) > info.nbytes:
            raise self._incomplete(info, written + len(raw))
        self._crc[name] = zlib.crc32(raw, self._crc[name])
        self._put(raw, self._data_start + info.start + written)
        self._written[name] = written + len(raw)

    def _put(self, raw: memoryview, position: int) -> None:
        while raw:
            written = os.pwrite(self._file, raw, position)
            raw, position = raw[written:], position + written

    def _finish(self) -> None:
        for info in self._tensors.values():
            if self._written[info.name] != info.nbytes:
                raise self._incomplete(info, self._written[info.name])
        header = _header(self._tensors.values(), self._metadata, self._crc)
        if len(header) != self._data_start:
            raise InputError(
                f"{self._path}: the metadata make a header of {len(header)} bytes, expected "
                f"{self._data_start} as without checksums"
            )
        self._put(memoryview(header), 0)
        os.fsync(self._file)

    def _incomplete(self, info: TensorInfo, written: int) -> InputError:
        return InputError(
            f"{self._path}: tensor {info.name!r} was given {written} bytes, but "
            f"{info.dtype}{list(info.shape)} takes {info.nbytes}"
        )


def _header(tensors: Iterable[TensorInfo], metadata: MetadataOf, crcs: Mapping[str, int]) -> bytes:
    return header_bytes(tensors, metadata(crcs))
