"""A checkpoint on disk, seen through its headers: one safetensors file or a directory of shards."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from amssim.checkpoint.safetensors.config import read_config
from amssim.checkpoint.safetensors.files import stamp
from amssim.checkpoint.safetensors.header import Header, TensorInfo, read_header
from amssim.checkpoint.safetensors.index import INDEX_NAME, Index, check_against, read_index
from amssim.checkpoint.safetensors.names import SUFFIX
from amssim.errors import FormatError, InputError, UnsupportedError

_SHARD = re.compile(r".*-\d{5}-of-\d{5}\.safetensors")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class Checkpoint:
    """Headers of all shards by file name; no tensor data. ``index`` is None for a single file."""

    path: Path
    shards: dict[str, Header]
    index: Index | None = None
    config: dict | None = None
    remarks: tuple[str, ...] = ()

    @property
    def is_directory(self) -> bool:
        """Whether the checkpoint is a directory rather than one file."""
        return self.path.is_dir()

    def items(self) -> list[tuple[Header, TensorInfo]]:
        """Every tensor with the header of its shard, in name order."""
        found = [(h, info) for h in self.shards.values() for info in h.tensors.values()]
        return sorted(found, key=lambda item: item[1].name)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read and check every header of a ``.safetensors`` file or a directory of shards.

    Raises:
        InputError: nothing there.
        UnsafePathError: an index that points out of its directory.
        FormatError: files that are damaged or contradict each other.
        UnsupportedError: weights in another container, such as pickled ones.
    """
    path = Path(path)
    return _directory(path) if path.is_dir() else _file(path)


def _file(path: Path) -> Checkpoint:
    stamp(path)
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
        remarks += check_against(index, shards, path / INDEX_NAME)
    for name in sorted(set(present) - set(names)):
        if _SHARD.fullmatch(name):
            raise FormatError(f"{path / name} is a shard that {INDEX_NAME} does not name")
        remarks.append(f"{name} is not part of the checkpoint: {INDEX_NAME} does not name it")
    return Checkpoint(path, shards, index, read_config(path), tuple(remarks))


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


def _unknown_fields(headers) -> list[str]:
    return [
        f"{h.path.name}: fields that safetensors does not define: {', '.join(h.unknown_fields)}"
        for h in headers
        if h.unknown_fields
    ]
