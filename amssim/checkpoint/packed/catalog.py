"""Every tensor of a checkpoint by name, each packed one checked against what is stored of it."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from amssim._whole import check_scale_block
from amssim.checkpoint.packed.by_config import BY_CONFIG, manifests_by_config
from amssim.checkpoint.packed.config_keys import METHOD, check_config, quantization
from amssim.checkpoint.packed.manifest import Manifest, crc_text
from amssim.checkpoint.packed.manifest_checks import read_manifest
from amssim.checkpoint.packed.seal import Seal
from amssim.checkpoint.packed.set_check import check_set
from amssim.checkpoint.packed.stored import SCALES, SHAPE, WORDS, LogicalTensor
from amssim.checkpoint.safetensors.header import MAX_DIMENSION, Header
from amssim.checkpoint.safetensors.reader import TensorReader
from amssim.checkpoint.safetensors.shards import Checkpoint, read_checkpoint
from amssim.errors import FormatError


@dataclass(frozen=True)
class Catalog:
    """Tensors of each shard; its manifest, None where it has none; the seal, None without."""

    checkpoint: Checkpoint
    shards: dict[str, tuple[LogicalTensor, ...]]
    manifests: dict[str, Manifest | None]
    seal: Seal | None = None

    @property
    def is_ams(self) -> bool:
        """Whether it holds what amssim wrote or packed."""
        return any(self.manifests.values()) or any(tensor.packing for _, tensor in self)

    def __iter__(self) -> Iterator[tuple[Header, LogicalTensor]]:
        """Yield every tensor with its shard's header, shard by shard."""
        for name, tensors in self.shards.items():
            for tensor in tensors:
                yield self.checkpoint.shards[name], tensor


def read_catalog(path: str | Path, *, sealed: bool = True, follow_links: bool = True) -> Catalog:
    """Read the headers of a checkpoint, amssim's or any other: a file or a directory.

    Args:
        path: the file or directory.
        sealed: compare a directory with its seal; without, whatever seals say is passed over.
        follow_links: as `read_checkpoint`.

    Raises:
        InputError, UnsafePathError, UnsupportedError: see `read_checkpoint`.
        FormatError: parts of a packed tensor that are missing or contradict each other.
        MismatchError: config.json contradicts the files, or they are not those of one seal.
        UnsupportedError: written by a version whose format this one does not read.
    """
    checkpoint = read_checkpoint(path, follow_links=follow_links)
    manifests = {name: read_manifest(header) for name, header in checkpoint.shards.items()}
    seal, remarks = check_set(checkpoint, manifests) if sealed else (None, ())
    stated = (quantization(checkpoint.config) or {}).get("quant_method") == METHOD
    known = {name: manifest for name, manifest in manifests.items() if manifest}
    if known:
        _check_complete(manifests, checkpoint)
    elif stated:
        checkpoint, known = manifests_by_config(checkpoint)
        remarks = (*remarks, BY_CONFIG)
    shards = {n: _of_shard(header, known.get(n)) for n, header in checkpoint.shards.items()}
    tensors = [tensor for of_shard in shards.values() for tensor in of_shard]
    _check_unique([tensor.name for tensor in tensors], checkpoint)
    if any(manifests.values()) and checkpoint.config is not None:
        versions = {manifest.version for manifest in known.values()}
        check_config(checkpoint.config, tensors, versions, checkpoint.path)
    checkpoint = replace(checkpoint, remarks=(*checkpoint.remarks, *remarks))
    return Catalog(checkpoint, shards, manifests, seal)


def _check_complete(manifests: dict[str, Manifest | None], checkpoint: Checkpoint) -> None:
    for name, manifest in manifests.items():
        if manifest is None:
            raise FormatError(
                f"{checkpoint.path}: {name} has no amssim metadata, the rest of the checkpoint "
                "says that amssim wrote it"
            )


def _check_unique(names: list[str], checkpoint: Checkpoint) -> None:
    for twice, count in Counter(names).most_common(1):
        if count > 1:
            raise FormatError(f"{checkpoint.path} holds the tensor {twice!r} twice")


def _of_shard(header: Header, manifest: Manifest | None) -> tuple[LogicalTensor, ...]:
    if manifest is None:
        return tuple(LogicalTensor.plain(header.tensors[name]) for name in sorted(header.tensors))
    with TensorReader(header) as reader:
        tensors = [_packed(reader, name, manifest) for name in manifest.packed]
    claimed = {spec.name for tensor in tensors for spec in tensor.stored}
    rest = header.tensors.keys() - claimed
    if rest != manifest.kept.keys():
        name = min(rest ^ manifest.kept.keys())
        raise FormatError(f"{header.path}: {name!r} is neither kept nor part of a packed tensor")
    tensors += [
        LogicalTensor.plain(header.tensors[n], reason) for n, reason in manifest.kept.items()
    ]
    sums = {name: int(crc, 16) for name, crc in manifest.checksums.items()}
    if sums:
        tensors = [replace(t, checksums=tuple(sums[s.name] for s in t.stored)) for t in tensors]
    return tuple(sorted(tensors, key=lambda tensor: tensor.name))


def _packed(reader: TensorReader, name: str, manifest: Manifest) -> LogicalTensor:
    header = reader.header
    packing, where = manifest.packed[name], f"{header.path}: packed tensor {name!r}"
    for part in (WORDS, SCALES, SHAPE):
        if name + part not in header.tensors:
            raise FormatError(f"{where} has no {name + part!r}")
    shape = _logical_shape(reader, name + SHAPE, manifest.checksums.get(name + SHAPE), where)
    if check_scale_block(packing.scale_block, shape[-1]) != packing.scale_block:
        raise FormatError(
            f"{where}: scale_block is {packing.scale_block}, expected less than its {shape[-1]} "
            "columns or null"
        )
    tensor = LogicalTensor.packed(name, shape, packing)
    for spec in tensor.stored:
        info = header.tensors[spec.name]
        if (info.dtype, info.shape) != (spec.dtype, spec.shape):
            raise FormatError(
                f"{where}: {spec.name!r} is {info.dtype}{list(info.shape)}, but "
                f"{packing.scheme} of shape {list(shape)} takes {spec.dtype}{list(spec.shape)}"
            )
    return tensor


def _logical_shape(reader: TensorReader, name: str, crc: str | None, where: str) -> tuple[int, ...]:
    info = reader.header.tensors[name]
    if info.dtype != "I64" or info.shape not in ((2,), (3,)):
        raise FormatError(f"{where}: {name!r} is {info.dtype}{list(info.shape)}, not I64[2 or 3]")
    raw = reader.raw(name)
    shape = struct.unpack(f"<{len(raw) // 8}q", raw)
    if crc is not None and crc_text(zlib.crc32(raw)) != crc:
        raise FormatError(f"{where}: {name!r} is damaged: it reads {list(shape)}")
    if min(shape) < 1 or max(shape) >= MAX_DIMENSION:
        raise FormatError(f"{where}: its shape is {list(shape)}, expected positive dimensions")
    return shape
