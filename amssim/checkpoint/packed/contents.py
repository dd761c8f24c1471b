"""The logical tensors of a checkpoint: every packed one checked against its stored parts."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from amssim._checks import check_scale_block
from amssim.checkpoint.packed.manifest import Manifest, Packing, crc_text, read_manifest
from amssim.checkpoint.packed.quantization_config import check_config
from amssim.checkpoint.packed.stored import SCALES, SHAPE, WORDS, Spec, stored_specs
from amssim.checkpoint.safetensors.config import METHOD, quantization
from amssim.checkpoint.safetensors.files import read_chunks
from amssim.checkpoint.safetensors.header import DTYPE_BITS, MAX_DIMENSION, Header, TensorInfo
from amssim.checkpoint.safetensors.source import Checkpoint
from amssim.errors import FormatError


@dataclass(frozen=True)
class Content:
    """One tensor as a user names it: packed if ``packing`` is given, else stored plainly.

    ``shape`` is the logical one, ``dtype`` the safetensors name of the (unpacked) elements, empty
    where not known, ``nbytes`` the size without the stored shape of a packed tensor.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    packing: Packing | None = None
    reason: str = ""

    @classmethod
    def packed(cls, name: str, shape: tuple[int, ...], packing: Packing) -> Content:
        """Return a packed tensor of 2 or 3 dimensions."""
        words, scales, _ = stored_specs(name, shape, packing)
        nbytes = sum(DTYPE_BITS[s.dtype] // 8 * prod(s.shape) for s in (words, scales))
        return cls(name, shape, packing.dtype or "", nbytes, packing)

    @classmethod
    def plain(cls, info: TensorInfo, reason: str = "") -> Content:
        """Return a tensor that is stored as it is, and why."""
        return cls(info.name, info.shape, info.dtype, info.nbytes, reason=reason)

    @property
    def weights(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def stored(self) -> tuple[Spec, ...]:
        """The tensors of the file that hold it."""
        if self.packing is None:
            return (Spec(self.name, self.dtype, self.shape),)
        return stored_specs(self.name, self.shape, self.packing)


@dataclass(frozen=True)
class Contents:
    """Tensors of each shard; its manifest, None where amssim did not write the checkpoint."""

    checkpoint: Checkpoint
    shards: dict[str, tuple[Content, ...]]
    manifests: dict[str, Manifest | None]

    @property
    def is_ams(self) -> bool:
        """Whether amssim wrote the checkpoint."""
        return any(self.manifests.values())

    def items(self) -> Iterator[tuple[Header, Content]]:
        """Yield every tensor with its shard's header, shard by shard."""
        for name, tensors in self.shards.items():
            for content in tensors:
                yield self.checkpoint.shards[name], content


def read_contents(checkpoint: Checkpoint) -> Contents:
    """Return the logical tensors of a checkpoint, amssim's or any other.

    Raises:
        FormatError: parts of a packed tensor that are missing or contradict each other.
        MismatchError: config.json contradicts the files.
        UnsupportedError: written by a version whose format this one does not read.
    """
    manifests = {name: read_manifest(header) for name, header in checkpoint.shards.items()}
    known = [manifest for manifest in manifests.values() if manifest]
    stated = (quantization(checkpoint.config) or {}).get("quant_method") == METHOD
    if stated or known:
        _check_complete(manifests, checkpoint)
    if known and checkpoint.config is not None:
        check_config(checkpoint.config, known, checkpoint.path)
    shards = {n: _of_shard(header, manifests[n]) for n, header in checkpoint.shards.items()}
    _check_unique([c.name for tensors in shards.values() for c in tensors], checkpoint)
    return Contents(checkpoint, shards, manifests)


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


def _of_shard(header: Header, manifest: Manifest | None) -> tuple[Content, ...]:
    if manifest is None:
        return tuple(Content.plain(header.tensors[name]) for name in sorted(header.tensors))
    contents = [_packed(header, name, manifest) for name in manifest.packed]
    claimed = {spec.name for content in contents for spec in content.stored}
    rest = header.tensors.keys() - claimed
    if rest != manifest.kept.keys():
        name = min(rest ^ manifest.kept.keys())
        raise FormatError(f"{header.path}: {name!r} is neither kept nor part of a packed tensor")
    contents += [Content.plain(header.tensors[n], reason) for n, reason in manifest.kept.items()]
    return tuple(sorted(contents, key=lambda content: content.name))


def _packed(header: Header, name: str, manifest: Manifest) -> Content:
    packing, where = manifest.packed[name], f"{header.path}: packed tensor {name!r}"
    for part in (WORDS, SCALES, SHAPE):
        if name + part not in header.tensors:
            raise FormatError(f"{where} has no {name + part!r}")
    shape = _logical_shape(header, name + SHAPE, manifest.checksums[name + SHAPE], where)
    if check_scale_block(packing.scale_block, shape[-1]) != packing.scale_block:
        raise FormatError(
            f"{where}: scale_block is {packing.scale_block}, expected less than its {shape[-1]} "
            "columns or null"
        )
    content = Content.packed(name, shape, packing)
    for spec in content.stored:
        info = header.tensors[spec.name]
        if (info.dtype, info.shape) != (spec.dtype, spec.shape):
            raise FormatError(
                f"{where}: {spec.name!r} is {info.dtype}{list(info.shape)}, but "
                f"{packing.scheme} of shape {list(shape)} takes {spec.dtype}{list(spec.shape)}"
            )
    return content


def _logical_shape(header: Header, name: str, crc: str, where: str) -> tuple[int, ...]:
    info = header.tensors[name]
    if info.dtype != "I64" or info.shape not in ((2,), (3,)):
        raise FormatError(f"{where}: {name!r} is {info.dtype}{list(info.shape)}, not I64[2 or 3]")
    raw = b"".join(read_chunks(header.path, *header.data_range(name)))
    shape = tuple(np.frombuffer(raw, "<i8").tolist())
    if crc_text(zlib.crc32(raw)) != crc:
        raise FormatError(f"{where}: {name!r} is damaged: it reads {list(shape)}")
    if min(shape) < 1 or max(shape) >= MAX_DIMENSION:
        raise FormatError(f"{where}: its shape is {list(shape)}, expected positive dimensions")
    return shape
