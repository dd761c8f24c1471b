"""``model.safetensors.index.json``: which shard holds which tensor."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from amssim.checkpoint.safetensors.files import read_whole
from amssim.checkpoint.safetensors.header import Header
from amssim.checkpoint.safetensors.names import check_distinct, check_shard_name
from amssim.checkpoint.safetensors.strict_json import parse_json
from amssim.errors import FormatError

INDEX_NAME = "model.safetensors.index.json"


@dataclass(frozen=True)
class Index:
    """The shard of every tensor, and the index's own metadata (``total_size`` among it)."""

    shard_of: dict[str, str]
    metadata: dict = field(default_factory=dict)

    @property
    def shards(self) -> list[str]:
        """Names of the shards, sorted."""
        return sorted(set(self.shard_of.values()))

    def encode(self) -> bytes:
        """Return the JSON file, tensors in name order."""
        value = {"metadata": self.metadata, "weight_map": dict(sorted(self.shard_of.items()))}
        return (json.dumps(value, indent=2) + "\n").encode()


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


def check_against(index: Index, shards: dict[str, Header], path: Path) -> list[str]:
    """Compare the index with the shards' headers and return remarks.

    Raises:
        FormatError: a tensor that is not where the index says, or that the index does not know.
    """
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
