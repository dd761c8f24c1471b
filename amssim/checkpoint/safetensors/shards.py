"""A checkpoint on disk, seen through its headers: one safetensors file or a directory of shards.

In a directory ``model.safetensors.index.json`` says which shard holds which tensor, and
``config.json`` describes the model: data, never code.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amssim.checkpoint.safetensors.descriptor import OpenFile, is_regular_file
from amssim.checkpoint.safetensors.files import (
    SUFFIX,
    check_distinct,
    check_shard_name,
    read_whole,
)
from amssim.checkpoint.safetensors.half_published import check_not_half_published
from amssim.checkpoint.safetensors.header import Header, TensorInfo, read_header
from amssim.checkpoint.safetensors.limits import check_json_limit
from amssim.checkpoint.safetensors.numbering import gaps, numbered
from amssim.checkpoint.safetensors.strict_json import parse_json
from amssim.errors import FormatError, InputError, UnsupportedError

INDEX_NAME = "model.safetensors.index.json"
CONFIG_NAME = "config.json"
#: What a person reads about these files.
CARD_NAME = "amssim.md"

_RECORD = re.compile(r"amssim\.(.*\.json|md)")  # what amssim says of these files, not of others
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
        """Return the JSON file, tensors in name order; `UnsupportedError` if it is too long."""
        value = {"metadata": self.metadata, "weight_map": dict(sorted(self.shard_of.items()))}
        text = json.dumps(value, indent=2, allow_nan=False) + "\n"
        check_json_limit(len(text), INDEX_NAME)
        return text.encode()


@dataclass(frozen=True)
class Checkpoint:
    """Headers of all shards by file name; no tensor data. ``index`` is None for a single file."""

    path: Path
    shards: dict[str, Header]
    index: Index | None = None
    config: dict[str, Any] | None = None
    remarks: tuple[str, ...] = ()
    follow_links: bool = True

    @property
    def is_directory(self) -> bool:
        """Whether the checkpoint is a directory rather than one file."""
        return self.path.is_dir()

    def items(self) -> list[tuple[Header, TensorInfo]]:
        """Every tensor with the header of its shard, in name order."""
        tensors = [(h, info) for h in self.shards.values() for info in h.tensors.values()]
        return sorted(tensors, key=lambda item: item[1].name)

    def other_files(self) -> tuple[list[str], list[str]]:
        """Names of other files that belong to the checkpoint; of the rest.

        Others than shards, index, config.json and the records of amssim.

        The rest are folders, hidden files, and the weights in another container, a copy of which
        beside changed weights would be large and misleading.

        Raises:
            InputError, UnsafePathError: a file that belongs to it is a link that leads nowhere or
                is not to be followed.
        """
        if not self.is_directory:
            return [], []
        known = {*self.shards, CONFIG_NAME, INDEX_NAME}
        present = [p.name for p in self.path.iterdir()]
        names = sorted(n for n in present if n not in known and not _RECORD.fullmatch(n))
        belong = [name for name in names if self._belongs(name)]
        return belong, [name for name in names if name not in belong]

    def _belongs(self, name: str) -> bool:
        other = name.startswith(".") or name.endswith(_WEIGHTS)
        return not other and is_regular_file(self.path / name, follow_links=self.follow_links)

    def open(self, name: str) -> OpenFile:
        """Open a file of the directory by name; errors as `OpenFile`."""
        return OpenFile(self.path / name, follow_links=self.follow_links)

    def size_of(self, name: str) -> int:
        """Size in bytes of a file of the directory; errors as `OpenFile`."""
        with self.open(name) as file:
            return file.stamp.size


def read_checkpoint(path: str | Path, *, follow_links: bool = True) -> Checkpoint:
    """Read and check every header of a ``.safetensors`` file or a directory of shards.

    Args:
        path: the file or directory.
        follow_links: False refuses it, and every file of it, that is a symbolic link. Caches of
            model hubs are made of links.

    Raises:
        InputError: nothing there, or a link that leads nowhere.
        UnsafePathError: an index that points out of its directory, or a link that is not to be
            followed.
        FormatError: files that are damaged or contradict each other.
        MismatchError: a directory whose files are being replaced.
        UnsupportedError: weights in another container, such as pickled ones.
    """
    path = Path(path)
    if not os.path.isdir(path):  # noqa: PTH112  False for a name that the system does not take
        return _file(path, follow_links)
    if not follow_links:
        is_regular_file(path, follow_links=False)  # raises if it is a link
    check_not_half_published(path)
    try:
        return _directory(path, follow_links)
    finally:
        check_not_half_published(path)  # also the reason of many a fault


def read_index(path: Path, *, follow_links: bool = True) -> Index:
    """Read an index; every shard it names is a plain file name.

    Raises:
        UnsafePathError: a shard name that could lead out of the directory.
        FormatError: not an index.
    """
    where = str(path)
    value = parse_json(read_whole(path, follow_links=follow_links), where)
    shard_of = value.get("weight_map") if isinstance(value, dict) else None
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(shard_of, dict) or not isinstance(metadata, dict | None) or not shard_of:
        raise FormatError(f"{where} must hold a weight_map from tensors to shards")
    metadata = metadata or {}  # null, as some savers write it
    index = Index({t: check_shard_name(s, where) for t, s in shard_of.items()}, metadata)
    check_distinct(index.shards, where)
    return index


def encode_config(config: dict[str, Any]) -> bytes:
    """Return config.json, its keys in their order."""
    return (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()


def _file(path: Path, follow_links: bool) -> Checkpoint:
    is_regular_file(path, follow_links=follow_links)  # raises if nothing is there
    _refuse_pickle([path.name])
    if path.suffix != SUFFIX:
        raise UnsupportedError(f"{path}: expected a {SUFFIX} file or a directory of them")
    header, shard = read_header(path, follow_links=follow_links), numbered(path.name)
    remarks = _unknown_fields([header])
    if shard and shard.total > 1:
        remarks.append(f"{path.name} is by its name {shard}: the others are not looked at")
    return Checkpoint(path, {path.name: header}, None, None, tuple(remarks), follow_links)


def _directory(path: Path, follow_links: bool) -> Checkpoint:
    listed = _listed(path)
    present = [name for name in listed if name.endswith(SUFFIX) and not name.startswith(".")]
    index = None
    if INDEX_NAME in listed:
        index = read_index(path / INDEX_NAME, follow_links=follow_links)
    names = index.shards if index else _only_shard(path, present, listed)
    for name in names:
        if name not in present:
            raise FormatError(f"{path / INDEX_NAME} names {name}, which is missing")
    shards = {name: read_header(path / name, follow_links=follow_links) for name in names}
    remarks = _check_index(index, shards, path / INDEX_NAME) if index else []
    shards |= _empty_shards(path, present, names, follow_links)
    remarks += _unknown_fields(shards.values())
    if index:
        remarks += [f"{path / INDEX_NAME} names only {some}" for some in gaps(shards)]
    remarks += [
        f"{name} is not part of the checkpoint: {INDEX_NAME} does not name it"
        for name in present
        if name not in shards
    ]
    config = None
    if CONFIG_NAME in listed:
        config = _read_config(path / CONFIG_NAME, follow_links)
    return Checkpoint(path, shards, index, config, tuple(remarks), follow_links)


def _empty_shards(
    path: Path, present: list[str], names: list[str], follow_links: bool
) -> dict[str, Header]:
    """Return the shards by their names that no index names because they hold no tensors.

    Such are left where tensors were brought together.

    Raises:
        FormatError: a shard that holds some and is not named.
    """
    stems = {shard.stem for shard in map(numbered, names) if shard}
    surplus = ((name, numbered(name)) for name in present if name not in names)
    empty = {}
    for name in (name for name, shard in surplus if shard and shard.stem in stems):
        empty[name] = read_header(path / name, follow_links=follow_links)
        if empty[name].tensors:
            raise FormatError(f"{path / name} is a shard that {INDEX_NAME} does not name")
    return empty


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


def _read_config(path: Path, follow_links: bool) -> dict[str, Any]:
    config = parse_json(read_whole(path, follow_links=follow_links), str(path), config=True)
    if not isinstance(config, dict):
        raise FormatError(f"{path} must hold a JSON object")
    return config


def _listed(path: Path) -> list[str]:
    try:
        return sorted(os.listdir(path))  # noqa: PTH208  names, of links that lead nowhere too
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _only_shard(path: Path, present: list[str], listed: list[str]) -> list[str]:
    if len(present) > 1:
        raise FormatError(
            f"{path} holds {len(present)} {SUFFIX} files but no {INDEX_NAME}, which says what "
            "belongs together"
        )
    if not present:
        _refuse_pickle(listed)
        raise InputError(f"{path} holds no {SUFFIX} file")
    shard = numbered(present[0])
    if shard and shard.total > 1:
        raise FormatError(
            f"{path} holds {present[0]}, {shard}, but neither the others nor {INDEX_NAME}: fetch "
            "or copy all of it"
        )
    return present


def _refuse_pickle(names: Iterable[str]) -> None:
    pickles = sorted(name for name in names if name.endswith(_PICKLES))
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
