"""A checkpoint on disk, seen through its headers: one safetensors file or a directory of shards.

In a directory ``model.safetensors.index.json`` says which shard holds which tensor, and
``config.json`` describes the model: data, never code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amssim.checkpoint.safetensors.files import (
    SUFFIX,
    check_distinct,
    check_shard_name,
    file_stamp,
    read_whole,
)
from amssim.checkpoint.safetensors.half_published import check_not_half_published
from amssim.checkpoint.safetensors.header import Header, TensorInfo, read_header
from amssim.checkpoint.safetensors.strict_json import parse_json
from amssim.errors import FormatError, InputError, UnsupportedError

INDEX_NAME = "model.safetensors.index.json"
CONFIG_NAME = "config.json"

_SHARD = re.compile(r".*-\d{5}-of-\d{5}\.safetensors")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_WEIGHTS = (SUFFIX, *_PICKLES, ".h5", ".msgpack", ".onnx", ".gguf", ".index.json")


@dataclass(frozen=True)
class Index:
    """The shard of every tensor, and the index's own metadata (``total_size`` among it)."""

    shard_of: dict[str, str]
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def shards(self) -> list[str]:
        """Names of the shards, sorted."""
        return sorted(set(self.shard_of.values()))

    def encode(self) -> bytes:
        """Return the JSON file, tensors in name order."""
        value = {"metadata": self.metadata, "weight_map": dict(sorted(self.shard_of.items()))}
        return (json.dumps(value, indent=2) + "\n").encode()


@dataclass(frozen=True)
class Checkpoint:
    """Headers of all shards by file name; no tensor data. ``index`` is None for a single file."""

    path: Path
    shards: dict[str, Header]
    index: Index | None = None
    config: dict[str, Any] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def is_directory(self) -> bool:
        """Whether the checkpoint is a directory rather than one file."""
        return self.path.is_dir()

    def items(self) -> list[tuple[Header, TensorInfo]]:
        """Every tensor with the header of its shard, in name order."""
        tensors = [(h, info) for h in self.shards.values() for info in h.tensors.values()]
        return sorted(tensors, key=lambda item: item[1].name)

    def other_files(self) -> tuple[list[str], list[str]]:
        """Names of files that belong to the checkpoint beside shards, index and config; the rest.

        The rest are folders, hidden files, and the weights in another container, a copy of which
        beside changed weights would be large and misleading.
        """
        if not self.is_directory:
            return [], []
        known = {*self.shards, CONFIG_NAME, INDEX_NAME}
        names = sorted(p.name for p in self.path.iterdir() if p.name not in known)
        belong = [name for name in names if self._belongs(name)]
        return belong, [name for name in names if name not in belong]

    def _belongs(self, name: str) -> bool:
        other = name.startswith(".") or name.endswith(_WEIGHTS)
        return not other and (self.path / name).is_file()


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read and check every header of a ``.safetensors`` file or a directory of shards.

    Raises:
        InputError: nothing there.
        UnsafePathError: an index that points out of its directory.
        FormatError: files that are damaged or contradict each other.
        MismatchError: a directory whose files are being replaced.
        UnsupportedError: weights in another container, such as pickled ones.
    """
    path = Path(path)
    if not path.is_dir():
        return _file(path)
    check_not_half_published(path)
    checkpoint = _directory(path)
    check_not_half_published(path)
    return checkpoint


def read_index(path: Path) -> Index:
    """Read an index; every shard it names is a plain file name.

    Raises:
        UnsafePathError: a shard name that could lead out of the directory.
        FormatError: not an index.
    """
    where = str(path)
    value = parse_json(read_whole(path), where)
    shard_of = value.get("weight_map") if isinstance(value, dict) else None
    metadata = value.get("metadata", {}) if isinstance(value, dict) else None
    if not isinstance(shard_of, dict) or not isinstance(metadata, dict) or not shard_of:
        raise FormatError(f"{where} must hold a weight_map from tensors to shards")
    index = Index({t: check_shard_name(s, where) for t, s in shard_of.items()}, metadata)
    check_distinct(index.shards, where)
    return index


def encode_config(config: dict[str, Any]) -> bytes:
    """Return config.json, its keys in their order."""
    return (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()


def _file(path: Path) -> Checkpoint:
    file_stamp(path)
    _refuse_pickle([path])
    if path.suffix != SUFFIX:
        raise UnsupportedError(f"{path}: expected a {SUFFIX} file or a directory of them")
    header = read_header(path)
    return Checkpoint(path, {path.name: header}, remarks=tuple(_unknown_fields([header])))


def _directory(path: Path) -> Checkpoint:
    present = sorted(p.name for p in _listed(path) if p.suffix == SUFFIX)
    index = read_index(path / INDEX_NAME) if (path / INDEX_NAME).exists() else None
    names = index.shards if index else _only_shard(path, present)
    for name in names:
        if name not in present:
            raise FormatError(f"{path / INDEX_NAME} names {name}, which is missing")
    shards = {name: read_header(path / name) for name in names}
    remarks = _unknown_fields(shards.values())
    if index:
        remarks += _check_index(index, shards, path / INDEX_NAME)
    for name in sorted(set(present) - set(names)):
        if _SHARD.fullmatch(name):
            raise FormatError(f"{path / name} is a shard that {INDEX_NAME} does not name")
        remarks.append(f"{name} is not part of the checkpoint: {INDEX_NAME} does not name it")
    return Checkpoint(path, shards, index, _read_config(path / CONFIG_NAME), tuple(remarks))


def _check_index(index: Index, shards: dict[str, Header], path: Path) -> list[str]:
    """Compare the index with the shards' headers and return remarks."""
    for tensor, shard in index.shard_of.items():
        if tensor not in shards[shard].tensors:
            raise FormatError(f"{path} maps {tensor!r} to {shard}, which does not hold it")
    for shard, header in shards.items():
        for tensor in header.tensors:
            expected = index.shard_of.get(tensor)
            if expected is None:
                raise FormatError(f"{shard} holds {tensor!r}, which {path} does not list")
            if expected != shard:
                raise FormatError(f"{tensor!r} lies in two shards, {expected} and {shard}")
    stored = sum(info.nbytes for h in shards.values() for info in h.tensors.values())
    claimed = index.metadata.get("total_size", stored)
    if claimed == stored:
        return []
    return [f"{path} claims a total_size of {claimed}, the tensors take {stored} bytes"]


def _read_config(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    config = parse_json(read_whole(path), str(path), config=True)
    if not isinstance(config, dict):
        raise FormatError(f"{path} must hold a JSON object")
    return config


def _listed(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _only_shard(path: Path, present: list[str]) -> list[str]:
    if len(present) == 1:
        return present
    if present:
        raise FormatError(
            f"{path} holds {len(present)} {SUFFIX} files but no {INDEX_NAME}, which says what "
            "belongs together"
        )
    _refuse_pickle(_listed(path))
    raise InputError(f"{path} holds no {SUFFIX} file")


def _refuse_pickle(paths: list[Path]) -> None:
    pickles = sorted(p.name for p in paths if p.suffix in _PICKLES)
    if pickles:
        raise UnsupportedError(
            f"{pickles[0]} may hold pickled weights, which can run code and are never opened: "
            "convert the checkpoint to safetensors first"
        )


def _unknown_fields(headers: Iterable[Header]) -> list[str]:
    return [
        f"{h.path.name}: fields that safetensors does not define: {', '.join(h.unknown_fields)}"
        for h in headers
        if h.unknown_fields
    ]
