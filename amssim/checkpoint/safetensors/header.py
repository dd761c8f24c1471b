"""The header of a safetensors file, checked before anything is read or allocated from it.

Stricter than the library: duplicate names, unknown fields, huge dimensions and trailing bytes
are errors here. Layout of the file: u64 length, that many bytes of JSON, tensor data.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import NamedTuple

from amssim.checkpoint.safetensors.descriptor import OpenFile, Stamp, changed, no_memory
from amssim.checkpoint.safetensors.header_text import METADATA, header_entries
from amssim.checkpoint.safetensors.strict_json import MAX_JSON_BYTES
from amssim.errors import FormatError, UnsupportedError

if sys.byteorder != "little":
    raise UnsupportedError("amssim reads and writes checkpoints on little-endian machines only")

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


@dataclass(frozen=True, slots=True)
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
    ``elsewhere`` are those of its tensors that were gathered from other files, with the header of
    the file that holds them; there are none as a header is read.
    """

    path: Path
    stamp: Stamp
    data_start: int
    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    unknown_fields: tuple[str, ...]
    digest: str
    follow_links: bool = True
    elsewhere: Mapping[str, Header] = field(default_factory=dict)

    def data_range(self, name: str) -> tuple[int, int]:
        """First and last byte (exclusive) of a tensor in the file that holds it."""
        info, data_start = self.tensors[name], self.elsewhere.get(name, self).data_start
        return data_start + info.start, data_start + info.stop

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
    try:
        return _check(file, file.read(8, 8 + length))
    except MemoryError:
        raise no_memory(path, length) from None


def header_digest(file: OpenFile, data_start: int) -> str:
    """SHA-256, in hexadecimal, of the bytes before the data."""
    return hashlib.sha256(file.read(0, data_start)).hexdigest()


def _check(file: OpenFile, raw: bytes) -> Header:
    path = file.path
    if not raw.startswith(b"{"):
        raise FormatError(f"{path}: the header does not start with '{{' but with {raw[:1]!r}")
    infos, metadata, unknown = _parse(raw, path)
    infos.sort(key=lambda info: (info.start, info.stop))
    _check_cover(infos, file.stamp.size - 8 - len(raw), path)
    digest = hashlib.sha256(len(raw).to_bytes(8, "little") + raw).hexdigest()
    return Header(
        path=path,
        stamp=file.stamp,
        data_start=8 + len(raw),
        tensors={info.name: info for info in infos},
        metadata=metadata,
        unknown_fields=tuple(sorted(unknown)),
        digest=digest,
        follow_links=file.follow_links,
    )


def _parse(raw: bytes, path: Path) -> tuple[list[TensorInfo], dict[str, str], set[str]]:
    """Tensors, metadata, and the fields of tensors that safetensors does not define."""
    infos, metadata, fields = list[TensorInfo](), dict[str, str](), set[str]()
    for name, entry in header_entries(raw, f"{path}: the header"):
        if name == METADATA:
            metadata = _metadata(entry, path)
            continue
        infos.append(_tensor(name, entry, path))
        if isinstance(entry, dict) and len(entry) > len(_FIELDS):
            fields.update(entry)
        if len(infos) > MAX_TENSORS:
            raise FormatError(f"{path} lists more than {MAX_TENSORS} tensors")
    return infos, metadata, fields - _FIELDS


def _metadata(value: object, path: Path) -> dict[str, str]:
    if isinstance(value, dict):  # of text, or it would be None
        return value
    raise FormatError(f"{path}: {METADATA} must map text to text")


def _tensor(name: str, entry: object, path: Path) -> TensorInfo:
    fault = _fault_of_name(name) or _fault_of_entry(entry)
    if fault or not isinstance(entry, dict):
        raise FormatError(f"{path}: tensor {_short(name)}: {fault}")
    info = TensorInfo(name, entry["dtype"], tuple(entry["shape"]), *entry["data_offsets"])
    bits = DTYPE_BITS.get(info.dtype)
    if bits is not None and bits * info.count != 8 * info.nbytes:
        raise FormatError(
            f"{path}: tensor {_short(name)} has {info.nbytes} bytes, but "
            f"{info.dtype}{list(info.shape)} takes {-(-bits * info.count // 8)}"
        )
    return info


def _fault_of_name(name: str) -> str:
    size = len(name) if name.isascii() else len(name.encode())
    if size <= MAX_NAME_BYTES:
        return ""
    return f"its name has {size} bytes, at most {MAX_NAME_BYTES} expected"


def _fault_of_entry(entry: object) -> str:
    if not isinstance(entry, dict) or not entry.keys() >= _FIELDS:
        return "it must have the fields dtype, shape and data_offsets"
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str):
        return f"dtype must be text, found {_short(dtype)}"
    if not _naturals(shape) or len(shape) > MAX_RANK or max(shape, default=0) >= MAX_DIMENSION:
        return (
            f"shape must be at most {MAX_RANK} numbers from 0 to below 2**48, found {_short(shape)}"
        )
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        return f"data_offsets must be a first and a last byte, found {_short(offsets)}"
    return ""


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
    # by map and min, because a generator takes twice the time
    return (
        isinstance(values, list)
        and {int}.issuperset(map(type, values))
        and min(values, default=0) >= 0
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
