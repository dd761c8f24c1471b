"""What a file of a checkpoint says of itself.

A file's metadata key ``amssim`` holds the manifest, canonical JSON: ``packed`` names every
quantised tensor with all that decoding takes, ``kept`` every other tensor with the reason,
``crc32`` the checksum of every stored tensor, ``set`` the set of files to which it belongs, and
``header_crc32`` covers the metadata and the table of tensors, so that no byte of a file is
unguarded. docs/FORMAT.md, section 6, says it exactly.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from amssim import __version__
from amssim.checkpoint.packed.stored import Packing
from amssim.checkpoint.safetensors.header import TensorInfo
from amssim.checkpoint.safetensors.strict_json import canonical_json

KEY = "amssim"
#: Version of the stored form that is written; a file of a newer one is refused by name.
FORMAT = 2

_NO_SUMS: Mapping[str, int] = MappingProxyType({})
_UNKNOWN_DIGEST = "0" * 64
_OWN_FIELDS = ("set", "header_crc32")


class SetId(NamedTuple):
    """Which set of files a file belongs to: id of the run that made it, digest of its seal."""

    run: str
    digest: str = _UNKNOWN_DIGEST  # as long as the one that is known when all files are


@dataclass(frozen=True)
class Manifest:
    """What one file holds: packed tensors, kept tensors with reasons, checksums.

    ``set_id`` is None for a single file and for files of format 1.
    """

    packed: dict[str, Packing] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    version: str = field(default_factory=lambda: __version__)
    set_id: SetId | None = None
    format: int = FORMAT

    def metadata(
        self, tensors: Iterable[TensorInfo], crcs: Mapping[str, int] = _NO_SUMS
    ) -> dict[str, str]:
        """Return the metadata of the file that stores ``tensors``, its own checksum included.

        ``crcs`` are of those that ``checksums`` lack. The length of the texts depends neither on
        any checksum nor on the digest of ``set_id``.
        """
        value = self._content(tensors, crcs)
        if self.format > 1:
            value["set"] = self.set_id and self.set_id._asdict()
        value["header_crc32"] = header_crc(value, tensors)
        return {"format": "pt", KEY: canonical_json(value)}

    def content_digest(
        self, tensors: Iterable[TensorInfo], crcs: Mapping[str, int] = _NO_SUMS
    ) -> str:
        """Return what the seal of a set says of the file that stores ``tensors``."""
        return content_digest(self._content(tensors, crcs), tensors)

    def _content(self, tensors: Iterable[TensorInfo], crcs: Mapping[str, int]) -> dict[str, Any]:
        return {
            "version": self.version,
            "format": self.format,
            "packed": {name: packing.as_dict() for name, packing in self.packed.items()},
            "kept": self.kept,
            "crc32": self._sums(tensors, crcs),
        }

    def _sums(self, tensors: Iterable[TensorInfo], crcs: Mapping[str, int]) -> dict[str, str]:
        known = self.checksums | {name: crc_text(crc) for name, crc in crcs.items()}
        return {info.name: known.get(info.name, crc_text(0)) for info in tensors}


def crc_text(crc: int) -> str:
    """Return a CRC-32 as eight hexadecimal digits."""
    return f"{crc:08x}"


def header_crc(value: dict[str, Any], tensors: Iterable[TensorInfo]) -> str:
    """Checksum of the manifest (without this field) and of every tensor's name, dtype and shape."""
    return crc_text(zlib.crc32(_with_table(value, _OWN_FIELDS[1:], tensors)))


def content_digest(value: dict[str, Any], tensors: Iterable[TensorInfo]) -> str:
    """SHA-256 of the manifest and the table of tensors, apart from what binds them to a set.

    It covers the data too, by their checksums, and needs nothing but the header.
    """
    return hashlib.sha256(_with_table(value, _OWN_FIELDS, tensors)).hexdigest()


def _with_table(
    value: dict[str, Any], without: tuple[str, ...], tensors: Iterable[TensorInfo]
) -> bytes:
    own = {key: member for key, member in value.items() if key not in without}
    table = {info.name: [info.dtype, list(info.shape)] for info in tensors}
    return canonical_json([own, table]).encode()
