"""What a file of amssim says about itself: the metadata key ``amssim``, canonical JSON.

``packed`` names every quantised tensor with all that decoding takes, ``kept`` every other tensor
with the reason, ``crc32`` the checksum of every stored tensor, and ``header_crc32`` covers the
metadata and the table of tensors, so that no byte of a file is unguarded.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import amssim
from amssim.checkpoint.safetensors.header import Header, TensorInfo
from amssim.checkpoint.safetensors.strict_json import canonical_json, parse_json
from amssim.errors import FormatError, SchemeError, UnsupportedError
from amssim.rules import SCALE_RULES, SEARCH_RULES
from amssim.scheme import Scheme, scheme

KEY = "amssim"
#: Version of the stored form; a file of a newer one is refused by name.
FORMAT = 1
UNKNOWN_CRC = "0" * 8

_CRC = re.compile(r"[0-9a-f]{8}")
_PACKED_FIELDS = {"scheme", "scale_block", "search", "scale", "dtype"}
_FIELDS = {"version", "format", "packed", "kept", "crc32", "header_crc32"}


@dataclass(frozen=True)
class Packing:
    """How one tensor was quantised; ``search``, ``scale`` and ``dtype`` None where not known.

    ``dtype`` is the safetensors name of the source's element type.
    """

    scheme: Scheme
    scale_block: int | None = None
    search: str | None = None
    scale: str | None = None
    dtype: str | None = None

    def as_dict(self) -> dict:
        """Return the JSON form."""
        return self.__dict__ | {"scheme": self.scheme.name}


@dataclass(frozen=True)
class Manifest:
    """The contents of one file: packed tensors, kept tensors with reasons, checksums."""

    packed: dict[str, Packing] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    version: str = field(default_factory=lambda: amssim.__version__)

    def metadata(self, tensors: Iterable[TensorInfo], crcs: dict[str, str]) -> dict[str, str]:
        """Return the metadata of the file that stores ``tensors``, its own checksum included."""
        value = {
            "version": self.version,
            "format": FORMAT,
            "packed": {name: packing.as_dict() for name, packing in self.packed.items()},
            "kept": self.kept,
            "crc32": {info.name: crcs.get(info.name, UNKNOWN_CRC) for info in tensors},
        }
        value["header_crc32"] = header_crc(value, tensors)
        return {"format": "pt", KEY: canonical_json(value)}


def crc_text(crc: int) -> str:
    """Return a CRC-32 as eight hexadecimal digits."""
    return f"{crc:08x}"


def header_crc(value: dict, tensors: Iterable[TensorInfo]) -> str:
    """Checksum of the manifest (without this field) and of every tensor's name, dtype and shape."""
    table = {info.name: [info.dtype, list(info.shape)] for info in tensors}
    own = {key: found for key, found in value.items() if key != "header_crc32"}
    return crc_text(zlib.crc32(canonical_json([own, table]).encode()))


def read_manifest(header: Header) -> Manifest | None:
    """Return the manifest of a file, None if amssim did not write it.

    Raises:
        FormatError: a manifest that is damaged or contradicts the header.
        UnsupportedError: a newer format, or a scheme this version does not know.
    """
    text = header.metadata.get(KEY)
    if text is None:
        return None
    where = f"{header.path}: metadata {KEY!r}"
    if header.unknown_fields:
        raise FormatError(f"{header.path}: unknown fields: {', '.join(header.unknown_fields)}")
    value = parse_json(text.encode(), where)
    if not isinstance(value, dict):
        raise FormatError(f"{where} must hold a JSON object")
    _check_format(value, where)
    _check_fields(value, where)
    _check_header(value, header)
    if value["crc32"].keys() != header.tensors.keys():
        name = min(value["crc32"].keys() ^ header.tensors.keys())
        raise FormatError(f"{header.path}: the tensors stored and listed differ in {name!r}")
    packed = {name: _packing(found, name, where) for name, found in value["packed"].items()}
    return Manifest(packed, value["kept"], value["crc32"], value["version"])


def _check_format(value: dict, where: str) -> None:
    version, number = value.get("version"), value.get("format")
    if not isinstance(version, str) or type(number) is not int:
        raise FormatError(f"{where} must state version and format")
    if number != FORMAT:
        raise UnsupportedError(
            f"{where}: written by amssim {version} in format {number}, but amssim "
            f"{amssim.__version__} reads format {FORMAT} only: use that version"
        )


def _check_fields(value: dict, where: str) -> None:
    if value.keys() != _FIELDS:
        raise FormatError(f"{where} must have exactly the fields {', '.join(sorted(_FIELDS))}")
    for key in ("packed", "kept", "crc32"):
        if not isinstance(value[key], dict):
            raise FormatError(f"{where}: {key} must be an object")
    crcs = [value["header_crc32"], *value["crc32"].values()]
    if not all(isinstance(crc, str) and _CRC.fullmatch(crc) for crc in crcs):
        raise FormatError(f"{where}: a checksum must be eight hexadecimal digits")
    if not all(isinstance(reason, str) for reason in value["kept"].values()):
        raise FormatError(f"{where}: the reason a tensor was kept for must be text")


def _check_header(value: dict, header: Header) -> None:
    if header.metadata != {"format": "pt", KEY: header.metadata[KEY]}:
        raise FormatError(f"{header.path}: metadata must be 'format': 'pt' and {KEY!r} alone")
    found = header_crc(value, header.tensors.values())
    if found != value["header_crc32"]:
        raise FormatError(
            f"{header.path}: the header was altered: its checksum is {found}, "
            f"expected {value['header_crc32']}"
        )


def _packing(found: object, name: str, where: str) -> Packing:
    where = f"{where}: tensor {name!r}"
    if not isinstance(found, dict) or found.keys() != _PACKED_FIELDS:
        raise FormatError(f"{where} must have the fields {', '.join(sorted(_PACKED_FIELDS))}")
    block, text = found["scale_block"], found["scheme"]
    if block is not None and (type(block) is not int or block < 1):
        raise FormatError(f"{where}: scale_block must be null or positive, found {block!r}")
    if found["search"] not in (None, *SEARCH_RULES) or found["scale"] not in (None, *SCALE_RULES):
        raise UnsupportedError(f"{where}: a search or scale rule that this version does not know")
    if not isinstance(found["dtype"], str | None):
        raise FormatError(f"{where}: dtype must be text or null")
    try:
        known = scheme(text) if isinstance(text, str) else None
    except SchemeError:
        known = None
    if known is None or known.name != text:
        raise UnsupportedError(f"{where}: the scheme {text!r} is none that this version knows")
    return Packing(**(found | {"scheme": known}))
