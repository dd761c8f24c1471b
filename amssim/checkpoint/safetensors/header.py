"""The header of a safetensors file, checked before anything is read or allocated from it.

Stricter than the library: duplicate names, unknown fields, huge dimensions and trailing bytes
are errors here. Layout of the file: u64 length, that many bytes of JSON, tensor data.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple

from amssim.checkpoint.safetensors.descriptor import OpenFile, Stamp, changed
from amssim.checkpoint.safetensors.files import MAX_JSON_BYTES, parse_json
from amssim.errors import FormatError, UnsupportedError

if sys.byteorder != "little":
    raise UnsupportedError("amssim reads and writes checkpoints on little-endian machines only")

METADATA = "__metadata__"
MAX_TENSORS = 1_000_000
MAX_NAME_BYTES = 4096
MAX_RANK = 8
MAX_DIMENSION = 2**48

#: Bits of an element. A tensor of any other dtype can be copied, byte for byte.
DTYPE_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
DTYPE_BITS |= dict.fromkeys(("BOOL", "U8", "I8"), 8)
DTYPE_BITS |= {f"F8_{kind}": 8 for kind in ("E4M3", "E5M2", "E8M0", "E4M3FNUZ", "E5M2FNUZ")}
DTYPE_BITS |= dict.fromkeys(("U16", "I16", "F16", "BF16"), 16)
DTYPE_BITS |= dict.fromkeys(("U32", "I32", "F32"), 32)
DTYPE_BITS |= dict.fromkeys(("U64", "I64", "F64", "C64"), 64)

_FIELDS = {"dtype", "shape", "data_offsets"}


class TensorSpec(NamedTuple):
    """Name, safetensors dtype and shape of a tensor to be stored."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size in bytes; KeyError for a dtype that is not in `DTYPE_BITS`."""
        return DTYPE_BITS[self.dtype] * prod(self.shape) // 8


@dataclass(frozen=True)
class TensorInfo:
    """One entry of a header; the tensor is bytes ``start`` to ``stop`` of the data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def count(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.stop - self.start


@dataclass(frozen=True)
class Header:
    """A checked header: tensors by name in the order of their data, and the metadata.

    ``digest`` is the SHA-256, in hexadecimal, of the ``data_start`` bytes before the data.
    """

    path: Path
    stamp: Stamp
    data_start: int
    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    unknown_fields: tuple[str, ...]
    digest: str
    follow_links: bool = True

    def data_range(self, name: str) -> tuple[int, int]:
        """First and last byte (exclusive) of a tensor in the file."""
        info = self.tensors[name]
        return self.data_start + info.start, self.data_start + info.stop

    def check_unchanged(self) -> None:
        """Raise `MismatchError` if the file changed since its header was read."""
        with OpenFile(self.path, follow_links=self.follow_links) as file:
            self.check_same(file)

    def check_same(self, file: OpenFile) -> None:
        """Raise `MismatchError` if ``file`` is not as it was when this header was read from it."""
        same = file.stamp.same_version(self.stamp)
        if not same or header_digest(file, self.data_start) != self.digest:
            raise changed(self.path)


def read_header(path: Path, *, follow_links: bool = True) -> Header:
    """Read and check the header of ``path``.

    Raises:
        FormatError: a file that is not well-formed safetensors, to the last byte.
        AmsError: one that cannot be opened or read, as `OpenFile`.
    """
    with OpenFile(path, follow_links=follow_links) as file:
        return header_of(file)


def header_of(file: OpenFile) -> Header:
    """Read and check the header of an open file; errors as `read_header`."""
    path, size = file.path, file.stamp.size
    if size < 8:
        raise FormatError(f"{path} is too small for a header: {size} bytes, expected at least 8")
    length = int.from_bytes(file.read(0, 8), "little")
    room = size - 8
    if not 2 <= length <= min(room, MAX_JSON_BYTES):
        raise FormatError(
            f"{path}: the header claims {length} bytes: expected 2 to {min(room, MAX_JSON_BYTES)}"
            ", so this is no safetensors file or it is cut off"
        )
    return _check(file, file.read(8, 8 + length))


def header_digest(file: OpenFile, data_start: int) -> str:
    """SHA-256, in hexadecimal, of the bytes before the data."""
    return hashlib.sha256(file.read(0, data_start)).hexdigest()


def _check(file: OpenFile, raw: bytes) -> Header:
    path = file.path
    if not raw.startswith(b"{"):
        raise FormatError(f"{path}: the header does not start with '{{' but with {raw[:1]!r}")
    entries = parse_json(raw, f"{path}: the header")
    metadata = _metadata(entries.pop(METADATA, {}), path)
    if len(entries) > MAX_TENSORS:
        raise FormatError(f"{path} lists {len(entries)} tensors: at most {MAX_TENSORS} expected")
    infos = [_tensor(name, entry, path) for name, entry in entries.items()]
    infos.sort(key=lambda info: (info.start, info.stop))
    _check_cover(infos, file.stamp.size - 8 - len(raw), path)
    tensors = {info.name: info for info in infos}
    unknown = {key for entry in entries.values() for key in entry} - _FIELDS
    digest = hashlib.sha256(len(raw).to_bytes(8, "little") + raw).hexdigest()
    return Header(
        path=path,
        stamp=file.stamp,
        data_start=8 + len(raw),
        tensors=tensors,
        metadata=metadata,
        unknown_fields=tuple(sorted(unknown)),
        digest=digest,
        follow_links=file.follow_links,
    )


def _metadata(value: object, path: Path) -> dict[str, str]:
    if isinstance(value, dict) and all(isinstance(v, str) for v in value.values()):
        return value
    raise FormatError(f"{path}: {METADATA} must map text to text")


def _tensor(name: str, entry: object, path: Path) -> TensorInfo:
    if len(name.encode()) > MAX_NAME_BYTES:
        raise FormatError(
            f"{path}: a tensor name has {len(name.encode())} bytes, at most {MAX_NAME_BYTES} "
            f"expected: {name[:40]!r}..."
        )
    where = f"{path}: tensor {name!r}"
    if not isinstance(entry, dict) or not entry.keys() >= _FIELDS:
        raise FormatError(f"{where} must have the fields dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str):
        raise FormatError(f"{where}: dtype must be text, found {dtype!r}")
    if not _naturals(shape) or len(shape) > MAX_RANK or max(shape, default=0) >= MAX_DIMENSION:
        raise FormatError(
            f"{where}: shape must be at most {MAX_RANK} numbers from 0 to below 2**48, "
            f"found {_short(shape)}"
        )
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise FormatError(
            f"{where}: data_offsets must be a first and a last byte, found {_short(offsets)}"
        )
    info = TensorInfo(name, dtype, tuple(shape), *offsets)
    _check_size(info, where)
    return info


def _check_size(info: TensorInfo, where: str) -> None:
    bits = DTYPE_BITS.get(info.dtype)
    if bits is not None and bits * info.count != 8 * info.nbytes:
        raise FormatError(
            f"{where} has {info.nbytes} bytes, but {info.dtype}{list(info.shape)} "
            f"takes {-(-bits * info.count // 8)}"
        )


def _check_cover(infos: list[TensorInfo], data_bytes: int, path: Path) -> None:
    end = 0
    for info in infos:
        if info.start != end:
            fault = "overlaps the one before it" if info.start < end else "leaves a hole"
            raise FormatError(
                f"{path}: tensor {info.name!r} {fault}: it starts at byte {info.start} "
                f"of the data, expected {end}"
            )
        end = info.stop
    if end > data_bytes:
        raise FormatError(
            f"{path} is cut off: its tensors take {end} bytes, the file holds {data_bytes} of them"
        )
    if end < data_bytes:
        raise FormatError(f"{path} has {data_bytes - end} bytes after its last tensor")


def _naturals(values: object) -> bool:
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
