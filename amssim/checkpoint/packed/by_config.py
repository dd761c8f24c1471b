"""Packed tensors in files without manifests, as other tools save them, read by config.json.

Savers keep the three stored tensors of each, but not our metadata, and may drop or split
dimensions: scales of whole rows come as [rows], experts as [experts, rows, ...].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

from amssim.checkpoint.packed.config_keys import (
    PACKED_FORMAT,
    definition,
    json_difference,
    quantization,
)
from amssim.checkpoint.packed.manifest import Manifest
from amssim.checkpoint.packed.stored import SCALES, SHAPE, WORDS, Packing
from amssim.checkpoint.safetensors.header import Header, TensorInfo
from amssim.checkpoint.safetensors.shards import Checkpoint
from amssim.errors import FormatError, MismatchError, UnsupportedError

BY_CONFIG = (
    "no file has amssim metadata: packed tensors are read by config.json alone, without checksums "
    "(amssim seal writes both)"
)
_FIELDS = {"quant_method", "format", "version", "schemes", "default", "exceptions"}
_FORM = {"scheme", "scale_block"}


def manifests_by_config(checkpoint: Checkpoint) -> tuple[Checkpoint, dict[str, Manifest]]:
    """Return a manifest for every shard, without checksums, and the checkpoint as they see it.

    In it the stored parts of packed tensors have two dimensions, as amssim writes them, and are in
    the shard of the words, even where other files hold them: savers cut where a file is full.

    Raises:
        FormatError: a config.json that does not say enough, or contradicts itself.
        MismatchError: tensors that are not as it says.
        UnsupportedError: another format than this version reads.
    """
    where = f"{checkpoint.path}: quantization_config in config.json"
    packings = StatedPackings(quantization(checkpoint.config) or {}, where)
    shards, manifests = {}, {}
    found: set[str] = set()
    for file, header in _gathered(checkpoint.shards).items():
        packed = {name: packings.of_packed(name) for name in _packed_names(header)}
        shards[file] = _in_two_dimensions(header, packed)
        parts = {name + part for name in packed for part in (WORDS, SCALES, SHAPE)}
        kept = dict.fromkeys(sorted(header.tensors.keys() - parts), "kept")
        manifests[file] = Manifest(packed, kept, version=packings.version)
        found |= packed.keys()
    packings.check_found(found)
    return replace(checkpoint, shards=shards), manifests


class StatedPackings:
    """What ``default`` and ``exceptions`` of config.json say of each tensor.

    Args:
        stated: its quantization_config.
        where: begins the sentence of an error.

    Attributes:
        version: of amssim that wrote them.
        default: of a packed tensor that is no exception.
        exceptions: by name; None for a tensor that is not packed.

    Raises:
        FormatError: what does not say enough, or contradicts itself.
        MismatchError: a scheme of another definition than this version has.
        UnsupportedError: a format or scheme that this version does not know.
    """

    def __init__(self, stated: dict[str, Any], where: str):
        _check_fields(stated, where)
        self._where, self.version = where, stated["version"]
        self.default = self._packing(stated["default"], "default")
        self.exceptions = {
            name: self._packing(form, f"exception {name!r}")
            for name, form in stated["exceptions"].items()
        }
        known = {p.scheme for p in (self.default, *self.exceptions.values()) if p}
        for scheme in sorted(known):
            wrong = json_difference(stated["schemes"].get(scheme.name), definition(scheme))
            if wrong:
                what = ", ".join(filter(None, (scheme.name, wrong[0])))
                raise MismatchError(
                    f"{where}: schemes says of {what}: {wrong[1]}, expected {wrong[2]}"
                )

    def of_packed(self, name: str) -> Packing:
        """Return how a tensor is packed; `MismatchError` if it is said not to be."""
        packing = self.exceptions.get(name, self.default)
        if packing is None:
            raise MismatchError(f"{self._where}: says that {name!r} is not packed, it is")
        return packing

    def check_found(self, names: set[str]) -> None:
        """Raise `MismatchError` if an exception is of no packed tensor: names were changed."""
        for name, packing in self.exceptions.items():
            if packing and name not in names:
                raise MismatchError(
                    f"{self._where}: says that {name!r} is {packing.scheme}, but no such packed "
                    "tensor is stored"
                )

    def _packing(self, form: object, what: str) -> Packing | None:
        if form is None:
            return None
        if not isinstance(form, dict) or form.keys() != _FORM:
            raise FormatError(f"{self._where}: {what} must be null or have scheme and scale_block")
        rest = {"search": None, "scale": None, "dtype": None}
        return Packing.of_dict(form | rest, f"{self._where}: {what}")


def _check_fields(stated: dict[str, Any], where: str) -> None:
    if not stated.keys() >= _FIELDS:
        missing = ", ".join(sorted(_FIELDS - stated.keys()))
        raise FormatError(
            f"{where} lacks {missing}: without amssim metadata in the files nothing says how "
            "their tensors are packed"
        )
    if stated.keys() > _FIELDS:
        raise FormatError(f"{where} has the unknown key {min(stated.keys() - _FIELDS)!r}")
    if not isinstance(stated["version"], str) or stated["format"] != PACKED_FORMAT:
        raise UnsupportedError(
            f"{where} names the format {stated['format']!r} of version {stated['version']!r}: "
            f"this version reads {PACKED_FORMAT!r}"
        )
    if not isinstance(stated["schemes"], dict) or not isinstance(stated["exceptions"], dict):
        raise FormatError(f"{where}: schemes and exceptions must be objects")


def _packed_names(header: Header) -> list[str]:
    return sorted(name.removesuffix(WORDS) for name in header.tensors if name.endswith(WORDS))


def _gathered(shards: Mapping[str, Header]) -> dict[str, Header]:
    """Give scales and shape of each packed tensor to the shard that holds its words."""
    file_of = {name: file for file, header in shards.items() for name in header.tensors}
    target = dict(file_of)
    for name, file in file_of.items():
        if name.endswith(WORDS):
            parts = (name.removesuffix(WORDS) + part for part in (SCALES, SHAPE))
            target |= {part: file for part in parts if part in file_of}
    tensors: dict[str, dict[str, TensorInfo]] = {file: {} for file in shards}
    elsewhere: dict[str, dict[str, Header]] = {file: {} for file in shards}
    for name, file in target.items():
        home = shards[file_of[name]]
        tensors[file][name] = home.tensors[name]
        if home is not shards[file]:
            elsewhere[file][name] = home
    return {
        file: replace(header, tensors=tensors[file], elsewhere=elsewhere[file])
        for file, header in shards.items()
    }


def _in_two_dimensions(header: Header, names: Iterable[str]) -> Header:
    """Join leading dimensions of words and scales; a last one of 1 that scales lost comes back."""
    tensors = dict(header.tensors)
    for name in names:
        words, scales = tensors[name + WORDS], tensors.get(name + SCALES)
        leading = words.shape[:-1]
        if words.count:
            tensors[words.name] = replace(words, shape=(prod(leading), words.shape[-1]))
        if words.count and scales and leading in (scales.shape, scales.shape[:-1]):
            blocks = scales.count // prod(leading)
            tensors[scales.name] = replace(scales, shape=(prod(leading), blocks))
    return replace(header, tensors=tensors)
