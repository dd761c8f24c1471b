"""Reading a manifest: nothing of it is believed before it is checked."""

from __future__ import annotations

import re
from typing import Any

from amssim import __version__
from amssim.checkpoint.packed.manifest import (
    FORMAT,
    KEY,
    Manifest,
    SetId,
    header_crc,
)
from amssim.checkpoint.packed.stored import Packing
from amssim.checkpoint.safetensors.header import Header
from amssim.checkpoint.safetensors.strict_json import parse_json
from amssim.errors import FormatError, UnsupportedError

_CRC = re.compile(r"[0-9a-f]{8}")
_RUN, _DIGEST = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{64}")
_FIELDS = {"version", "format", "packed", "kept", "crc32", "header_crc32"}


def read_manifest(header: Header) -> Manifest | None:
    """Return the manifest of a file, None if amssim did not write it.

    Raises:
        FormatError: a manifest that is damaged or contradicts the header.
        UnsupportedError: a newer format, or a scheme this version does not know.
    """
    text, where = header.metadata.get(KEY), f"{header.path}: metadata {KEY!r}"
    if text is None:
        return None
    if header.unknown_fields:
        raise FormatError(f"{header.path}: unknown fields: {', '.join(header.unknown_fields)}")
    value = parse_json(text.encode(), where)
    if not isinstance(value, dict):
        raise FormatError(f"{where} must hold a JSON object")
    _check_format(value, where)
    _check_fields(value, where)
    _check_set(value.get("set"), where)
    _check_header(value, header)
    packed = {
        name: Packing.of_dict(packing, f"{where}: tensor {name!r}")
        for name, packing in value["packed"].items()
    }
    own = value["kept"], value["crc32"], value["version"]
    set_id = SetId(**value["set"]) if value.get("set") else None
    return Manifest(packed, *own, set_id, value["format"])


def _check_format(value: dict[str, Any], where: str) -> None:
    version, number = value.get("version"), value.get("format")
    if not isinstance(version, str) or type(number) is not int:
        raise FormatError(f"{where} must state version and format")
    if not 1 <= number <= FORMAT:
        raise UnsupportedError(
            f"{where}: written by amssim {version} in format {number}, but amssim "
            f"{__version__} reads formats 1 to {FORMAT}: use that version"
        )


def _check_fields(value: dict[str, Any], where: str) -> None:
    fields = _FIELDS if value["format"] == 1 else _FIELDS | {"set"}
    if value.keys() != fields:
        raise FormatError(f"{where} must have exactly the fields {', '.join(sorted(fields))}")
    for key in ("packed", "kept", "crc32"):
        if not isinstance(value[key], dict):
            raise FormatError(f"{where}: {key} must be an object")
    crcs = [value["header_crc32"], *value["crc32"].values()]
    if not all(isinstance(crc, str) and _CRC.fullmatch(crc) for crc in crcs):
        raise FormatError(f"{where}: a checksum must be eight hexadecimal digits")
    if not all(isinstance(reason, str) for reason in value["kept"].values()):
        raise FormatError(f"{where}: the reason a tensor was kept for must be text")


def _check_set(value: object, where: str) -> None:
    if value is None:
        return
    form = {"run": _RUN, "digest": _DIGEST}
    if (
        not isinstance(value, dict)
        or value.keys() != form.keys()
        or not all(isinstance(v, str) and form[key].fullmatch(v) for key, v in value.items())
    ):
        raise FormatError(
            f"{where}: set must be null, or a run of 32 and a digest of 64 hexadecimal digits"
        )


def _check_header(value: dict[str, Any], header: Header) -> None:
    if header.metadata != {"format": "pt", KEY: header.metadata[KEY]}:
        raise FormatError(f"{header.path}: metadata must be 'format': 'pt' and {KEY!r} alone")
    crc = header_crc(value, header.tensors.values())
    if crc != value["header_crc32"]:
        raise FormatError(
            f"{header.path}: the header was altered: its checksum is {crc}, "
            f"expected {value['header_crc32']}"
        )
    if value["crc32"].keys() != header.tensors.keys():
        name = min(value["crc32"].keys() ^ header.tensors.keys())
        raise FormatError(f"{header.path}: the tensors stored and listed differ in {name!r}")
