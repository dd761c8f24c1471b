"""Writes one safetensors file in any order; its bytes depend on nothing but what is stored.

Tensors lie by falling width of their elements, which keeps them aligned and is the order of the
safetensors library too, at positions known before any is computed. So parts may be written by any
thread or process, and again without harm. The header comes last: its metadata hold checksums.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from amssim.checkpoint.safetensors.header import DTYPE_BITS, TensorInfo, TensorSpec
from amssim.checkpoint.safetensors.header_text import METADATA
from amssim.errors import InputError, OutputError

if TYPE_CHECKING:
    import numpy as np

_ALIGNMENT = 8

#: Makes the metadata of a file from the CRC-32 of every tensor in it; the length of the texts must
#: not depend on the sums, because the header's size is needed before they are known.
MetadataOf = Callable[[Mapping[str, int]], dict[str, str]]
Data: TypeAlias = "np.ndarray | bytes | memoryview"


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
    """Bytes of the file with these tensors."""
    end = tensors[-1].stop if tensors else 0
    return len(header_bytes(tensors, metadata({}))) + end


def as_bytes(data: Data) -> memoryview:
    """Return the bytes of an array in C order, not copied where they lie so."""
    if not isinstance(data, bytes | bytearray | memoryview):
        return data.ravel().view("u1").data
    return memoryview(data).cast("B")


class ShardFile:
    """A file of known size that is being written; any part by any thread, in any order.

    It takes over ``descriptor``, open for writing, of a file that is new or was begun before with
    the same ``tensors`` and ``metadata``. ``path`` is how errors call it.
    """

    def __init__(
        self,
        descriptor: int,
        path: Path,
        tensors: Iterable[TensorInfo],
        metadata: MetadataOf = plain_metadata,
    ):
        self.path, self.metadata = path, metadata
        self.tensors = {info.name: info for info in tensors}
        self._file = descriptor
        self._data_start = len(header_bytes(self.tensors.values(), metadata({})))
        end = max((info.stop for info in self.tensors.values()), default=0)
        self.size = self._data_start + end
        if os.fstat(descriptor).st_size != self.size:
            os.ftruncate(descriptor, self.size)

    def __enter__(self) -> ShardFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def write(self, name: str, start: int, data: Data) -> None:
        """Write bytes, or an array in C order, from byte ``start`` of tensor ``name`` on.

        Raises:
            InputError: more than the tensor takes.
        """
        raw, info = as_bytes(data), self.tensors[name]
        if not 0 <= start <= start + len(raw) <= info.nbytes:
            raise InputError(
                f"{self.path}: bytes {start} to {start + len(raw)} were given of tensor {name!r}, "
                f"but {info.dtype}{list(info.shape)} takes {info.nbytes}"
            )
        self._put(raw, self._data_start + info.start + start)

    def write_header(self, crcs: Mapping[str, int], metadata: MetadataOf | None = None) -> None:
        """Write the header, for the first time or anew; ``metadata`` may be of equal length.

        Raises:
            InputError: another length than without checksums.
        """
        made = header_bytes(self.tensors.values(), (metadata or self.metadata)(crcs))
        if len(made) != self._data_start:
            raise InputError(
                f"{self.path}: the metadata make a header of {len(made)} bytes, expected "
                f"{self._data_start} as without checksums"
            )
        self._put(memoryview(made), 0)

    def read(self, name: str, start: int, buffer: memoryview) -> None:
        """Fill ``buffer`` with what lies from byte ``start`` of a tensor on, written or not."""
        position = self._data_start + self.tensors[name].start + start
        while buffer:
            count = os.preadv(self._file, [buffer], position)
            if not count:
                raise OutputError(f"{self.path} ends at byte {position}: another program cut it")
            buffer, position = buffer[count:], position + count

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file; nothing if it is closed."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _put(self, raw: memoryview, position: int) -> None:
        while raw:
            written = os.pwrite(self._file, raw, position)
            raw, position = raw[written:], position + written


def write_file(
    descriptor: int,
    path: Path,
    tensors: Iterable[TensorInfo],
    content: Mapping[str, Data],
    metadata: MetadataOf = plain_metadata,
) -> None:
    """Write a whole file that fits into memory, and wait until it is on the disk.

    Raises:
        InputError: content that is not exactly what the tensors take.
    """
    with ShardFile(descriptor, path, tensors, metadata) as file:
        crcs = {}
        for name, info in file.tensors.items():
            raw = as_bytes(content[name])
            if len(raw) != info.nbytes:
                raise InputError(
                    f"{path}: tensor {name!r} was given {len(raw)} bytes, but "
                    f"{info.dtype}{list(info.shape)} takes {info.nbytes}"
                )
            crcs[name] = zlib.crc32(raw)
            file.write(name, 0, raw)
        file.write_header(crcs)
        file.sync()
