"""What a checkpoint of amssim says about itself, in every file and in config.json.

A file's metadata key ``amssim`` holds the manifest, canonical JSON: ``packed`` names every
quantised tensor with all that decoding takes, ``kept`` every other tensor with the reason,
``crc32`` the checksum of every stored tensor, and ``header_crc32`` covers the metadata and the
table of tensors, so that no byte of a file is unguarded. config.json gains a
``quantization_config``, which other loaders read.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amssim import __version__
from amssim.checkpoint.packed.stored import Packing
from amssim.checkpoint.safetensors.files import canonical_json, parse_json
from amssim.checkpoint.safetensors.header import Header, TensorInfo
from amssim.errors import FormatError, MismatchError, UnsupportedError
from amssim.scheme import Scheme

KEY = "amssim"
#: Version of the stored form; a file of a newer one is refused by name.
FORMAT = 1
#: The ``quant_method`` of config.json: loaders that do not know it refuse the checkpoint by it.
METHOD = "ams"
PACKED_FORMAT = "ams-packed"

_CRC = re.compile(r"[0-9a-f]{8}")
_FIELDS = {"version", "format", "packed", "kept", "crc32", "header_crc32"}
_CONFIG_KEY = "quantization_config"
# Where loaders look for it, in their order.
_CONFIG_PLACES = ((_CONFIG_KEY,), ("text_config", _CONFIG_KEY), ("compression_config",))


@dataclass(frozen=True)
class Manifest:
    """What one file holds: packed tensors, kept tensors with reasons, checksums."""

    packed: dict[str, Packing] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    version: str = field(default_factory=lambda: __version__)

    def metadata(self, tensors: Iterable[TensorInfo], crcs: Mapping[str, int]) -> dict[str, str]:
        """Return the metadata of the file that stores ``tensors``, its own checksum included."""
        value: dict[str, Any] = {
            "version": self.version,
            "format": FORMAT,
            "packed": {name: packing.as_dict() for name, packing in self.packed.items()},
            "kept": self.kept,
            "crc32": {info.name: crc_text(crcs.get(info.name, 0)) for info in tensors},
        }
        value["header_crc32"] = header_crc(value, tensors)
        return {"format": "pt", KEY: canonical_json(value)}


def crc_text(crc: int) -> str:
    """Return a CRC-32 as eight hexadecimal digits."""
    return f"{crc:08x}"


def header_crc(value: dict[str, Any], tensors: Iterable[TensorInfo]) -> str:
    """Checksum of the manifest (without this field) and of every tensor's name, dtype and shape."""
    table = {info.name: [info.dtype, list(info.shape)] for info in tensors}
    own = {key: member for key, member in value.items() if key != "header_crc32"}
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
    packed = {
        name: Packing.of_dict(packing, f"{where}: tensor {name!r}")
        for name, packing in value["packed"].items()
    }
    return Manifest(packed, value["kept"], value["crc32"], value["version"])


def quantization(config: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what config.json says about quantisation by any method, None for plain floats."""
    for place in _CONFIG_PLACES:
        stated: Any = config
        for key in place:
            stated = stated.get(key) if isinstance(stated, dict) else None
        if stated is not None:
            return stated if isinstance(stated, dict) else {"quant_method": repr(stated)}
    return None


def with_quantization(
    config: dict[str, Any] | None, manifests: Iterable[Manifest]
) -> dict[str, Any] | None:
    """Return config.json of a quantised checkpoint; None stays None."""
    return None if config is None else config | {_CONFIG_KEY: _describe(manifests)}


def without_quantization(config: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return config.json of a checkpoint that is plain again."""
    if config is None:
        return None
    return {key: value for key, value in config.items() if key != _CONFIG_KEY}


def check_config(config: dict[str, Any], manifests: Iterable[Manifest], path: Path) -> None:
    """Raise `MismatchError` if config.json describes other schemes than the files hold."""
    stated = quantization(config)
    if stated is None:
        raise MismatchError(f"{path}: config.json has no quantization_config, the tensors have")
    actual = _describe(manifests)
    for key in ("quant_method", "format", "schemes"):
        if stated.get(key) != actual[key]:
            raise MismatchError(
                f"{path}: config.json and the tensors disagree in {key}: "
                f"{stated.get(key)!r} and {actual[key]!r}"
            )


def _describe(manifests: Iterable[Manifest]) -> dict[str, Any]:
    """Which schemes occur, and how each is defined."""
    packings = [p for manifest in manifests for p in manifest.packed.values()]
    return {
        "quant_method": METHOD,
        "format": PACKED_FORMAT,
        "version": __version__,
        "schemes": {s.name: _definition(s) for s in sorted({p.scheme for p in packings})},
    }


def _definition(scheme: Scheme) -> dict[str, int]:
    element = scheme.minifloat
    return {
        "exponent_bits": element.exponent_bits,
        "mantissa_bits": element.mantissa_bits,
        "bias": element.bias,
        "k": scheme.k,
    }


def _check_format(value: dict[str, Any], where: str) -> None:
    version, number = value.get("version"), value.get("format")
    if not isinstance(version, str) or type(number) is not int:
        raise FormatError(f"{where} must state version and format")
    if number != FORMAT:
        raise UnsupportedError(
            f"{where}: written by amssim {version} in format {number}, but amssim "
            f"{__version__} reads format {FORMAT} only: use that version"
        )


def _check_fields(value: dict[str, Any], where: str) -> None:
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
