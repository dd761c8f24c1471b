"""What the files of a directory must become to be one sealed set, found by reading all of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from amssim.checkpoint.packed.catalog import Catalog
from amssim.checkpoint.packed.config_keys import quantization, with_quantization
from amssim.checkpoint.packed.digests import sealed_file
from amssim.checkpoint.packed.manifest import FORMAT, KEY, Manifest, crc_text
from amssim.checkpoint.packed.seal import SEAL_NAME, Seal, SealedFile
from amssim.checkpoint.packed.set_check import read_seal
from amssim.checkpoint.packed.sums import check_sum
from amssim.checkpoint.safetensors.checksum import crc32_of
from amssim.checkpoint.safetensors.header import Header, TensorInfo, TensorSpec
from amssim.checkpoint.safetensors.reader import TensorReader
from amssim.checkpoint.safetensors.shards import (
    CARD_NAME,
    CONFIG_NAME,
    INDEX_NAME,
    Checkpoint,
    encode_config,
)
from amssim.checkpoint.safetensors.writer import file_size, header_bytes, place
from amssim.errors import FormatError
from amssim.progress import Progress, Steps


@dataclass(frozen=True)
class NewSet:
    """The seal, and what has to be written for it: headers of shards, and whole small files."""

    seal: Seal
    headers: dict[str, bytes]
    texts: dict[str, bytes]
    remarks: tuple[str, ...]


def new_set(catalog: Catalog, progress: Progress | None) -> NewSet:
    """Read every file of a directory and seal what is there.

    Raises:
        MismatchError: a tensor that is not what its checksum says.
    """
    checkpoint = catalog.checkpoint
    manifests = _manifests(catalog)
    files: dict[str, SealedFile] = {}
    done = Steps(sum(header.stamp.size for header in checkpoint.shards.values()), progress)
    for name, header in checkpoint.shards.items():
        if name in manifests:
            manifests[name] = replace(manifests[name], checksums=_sums(catalog, name))
            files[name] = _of_shard(manifests[name], header)
        else:
            files[name] = sealed_file(header.path)._replace(header=header.digest)
        done.finished(name, header.stamp.size)
    texts = _new_config(catalog, manifests) | _new_index(checkpoint)
    for name in _other_names(checkpoint):
        text = texts.get(name)
        files[name] = sealed_file(checkpoint.path / name) if text is None else _of_text(text)
    old, remarks = _old_seal(checkpoint)
    seal = _continued(old, files, catalog)
    headers = _new_headers(checkpoint, manifests, seal)
    if old != seal:
        texts[SEAL_NAME] = seal.encode()
    remarks += _dropped_metadata(checkpoint, manifests) + (_changes(old, seal) if old else [])
    return NewSet(seal, headers, texts, tuple(remarks))


def _manifests(catalog: Catalog) -> dict[str, Manifest]:
    """Return the new manifest of each shard that has or needs one; they lack checksums."""
    if any(catalog.manifests.values()):
        known = catalog.manifests.items()
        return {name: replace(m, format=FORMAT, set_id=None) for name, m in known if m}
    if not catalog.is_ams:
        return {}
    version = (quantization(catalog.checkpoint.config) or {})["version"]
    return {
        name: Manifest(
            packed={t.name: t.packing for t in tensors if t.packing},
            kept={t.name: t.reason for t in tensors if not t.packing},
            version=version,
        )
        for name, tensors in catalog.shards.items()
    }


def _sums(catalog: Catalog, shard: str) -> dict[str, str]:
    """Read all tensors of a shard; `MismatchError` for one that its old checksum does not fit."""
    header = catalog.checkpoint.shards[shard]
    known = {name: crc for tensor in catalog.shards[shard] for name, crc in tensor.sums.items()}
    sums = {}
    with TensorReader(header) as reader:
        for name in header.tensors:
            crc = crc32_of(*reader.place(name))
            check_sum(header.path, name, crc, known.get(name, crc))
            sums[name] = crc_text(crc)
        reader.check_unchanged()
    return sums


def laid_out(header: Header) -> list[TensorInfo]:
    """Return the tensors of a shard in the order of its data: as it is, unless some came or went.

    Parts of packed tensors are gathered where another tool has put them into several files.
    """
    tensors = list(header.tensors.values())
    nbytes = sum(info.nbytes for info in tensors)
    if not header.elsewhere and nbytes == header.stamp.size - header.data_start:
        return tensors
    return place([TensorSpec(info.name, info.dtype, info.shape) for info in tensors], tensors)


def _of_shard(manifest: Manifest, header: Header) -> SealedFile:
    tensors = laid_out(header)
    placeholder = replace(manifest, set_id=Seal({}).set_id)
    nbytes = file_size(tensors, lambda _: placeholder.metadata(tensors))
    return SealedFile(nbytes, content=manifest.content_digest(tensors))


def _of_text(text: bytes) -> SealedFile:
    return SealedFile(len(text), sha256=hashlib.sha256(text).hexdigest())


def _new_config(catalog: Catalog, manifests: Mapping[str, Manifest]) -> dict[str, bytes]:
    """Return config.json where the manifests are made from it and say more than it does."""
    old = catalog.checkpoint.config
    if old is None or not manifests or any(catalog.manifests.values()):
        return {}
    (version,) = {manifest.version for manifest in manifests.values()}
    new = with_quantization(old, [tensor for _, tensor in catalog], version)
    return {} if new in (None, old) else {CONFIG_NAME: encode_config(new)}


def _new_index(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Return the index where parts of packed tensors come to other files."""
    shards = checkpoint.shards
    if checkpoint.index is None or not any(header.elsewhere for header in shards.values()):
        return {}
    shard_of = {name: shard for shard, header in shards.items() for name in header.tensors}
    return {INDEX_NAME: replace(checkpoint.index, shard_of=shard_of).encode()}


def _other_names(checkpoint: Checkpoint) -> list[str]:
    described = [
        n for n in (INDEX_NAME, CONFIG_NAME, CARD_NAME) if os.path.lexists(checkpoint.path / n)
    ]
    return described + checkpoint.other_files()[0]


def _old_seal(checkpoint: Checkpoint) -> tuple[Seal | None, list[str]]:
    if not os.path.lexists(checkpoint.path / SEAL_NAME):
        return None, []
    try:
        return read_seal(checkpoint), []
    except FormatError as error:
        return None, [f"the seal that was there is replaced: {error}"]


def _continued(old: Seal | None, files: dict[str, SealedFile], catalog: Catalog) -> Seal:
    """Return the seal of the run that made the shards, where the old seal says which that was."""
    runs = {m.set_id.run if m.set_id else None for m in catalog.manifests.values() if m}
    if old is None or runs - {old.run}:
        return Seal(files)
    return replace(old, files=files)


def _new_headers(
    checkpoint: Checkpoint, manifests: Mapping[str, Manifest], seal: Seal
) -> dict[str, bytes]:
    """Return the headers that are not as they must be."""
    headers = {}
    for name, manifest in manifests.items():
        tensors = laid_out(checkpoint.shards[name])
        sealed = replace(manifest, set_id=seal.set_id)
        header = header_bytes(tensors, sealed.metadata(tensors))
        if hashlib.sha256(header).hexdigest() != checkpoint.shards[name].digest:
            headers[name] = header
    return headers


def _dropped_metadata(checkpoint: Checkpoint, manifests: Mapping[str, Manifest]) -> list[str]:
    dropped = {
        name: checkpoint.shards[name].metadata.keys() - {"format", KEY} for name in manifests
    }
    return [
        f"{name}: metadata of other tools are not kept: {', '.join(sorted(keys))}"
        for name, keys in dropped.items()
        if keys
    ]


def _changes(old: Seal, new: Seal) -> list[str]:
    """What is not as the old seal had it, a sentence each."""
    before, after = old.files, new.files
    return [
        *(f"{name} is new in the set" for name in sorted(after.keys() - before.keys())),
        *(f"{name} is no longer in the set" for name in sorted(before.keys() - after.keys())),
        *(
            f"{name} is not as it was sealed before"
            for name in sorted(before.keys() & after.keys())
            if before[name] != after[name]
        ),
    ]
