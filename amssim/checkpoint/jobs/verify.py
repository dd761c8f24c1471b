"""Whether a quantised checkpoint is what it claims to be, and how far from its source."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amssim._threads import thread_count
from amssim.checkpoint.jobs.source_check import SourceCheck
from amssim.checkpoint.packed.catalog import read_catalog
from amssim.checkpoint.packed.manifest import crc_text
from amssim.checkpoint.packed.stored import LogicalTensor, packed_ranges
from amssim.checkpoint.safetensors.files import read_chunks
from amssim.checkpoint.safetensors.header import Header
from amssim.checkpoint.safetensors.reader import TensorReader
from amssim.errors import FormatError, MismatchError, UnsupportedError
from amssim.metrics import Metrics
from amssim.progress import Progress, Steps
from amssim.tensor.packed import PackedTensor
from amssim.tensor.quantize import pack, unpack


@dataclass(frozen=True)
class Verification:
    """What was found to be in order; ``metrics`` by packed tensor if there was a source."""

    path: Path
    tensors: int
    packed: int
    nbytes: int
    source: Path | None
    metrics: dict[str, Metrics]

    @property
    def total(self) -> Metrics:
        """The metrics of all packed tensors together."""
        return Metrics.total(self.metrics)

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        compared = self.source is not None
        return {
            "path": str(self.path),
            "tensors": self.tensors,
            "packed_tensors": self.packed,
            "checked_bytes": self.nbytes,
            "source": str(self.source) if compared else None,
            "error": self.total.as_dict() if compared else None,
            "error_by_tensor": {name: m.as_dict() for name, m in sorted(self.metrics.items())},
        }


def verify_checkpoint(
    path: str | Path,
    source: str | Path | None = None,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Check every stored byte of a quantised checkpoint, and compare it with its source.

    Decoding uses the checkpoint's own metadata alone. Checked are the structure, the checksum of
    each stored tensor, that padding bits are zero and scales finite and positive; and with the
    source, that quantising it again gives the same bits, and that kept tensors equal it.

    Args:
        path: what `quantize_checkpoint` or `save_packed` wrote.
        source: the float checkpoint it was made from.
        threads, progress: as for `quantize_checkpoint`.

    Raises:
        MismatchError: a checksum, a bit or a tensor that differs.
        FormatError: parts that are damaged or contradict each other.
        UnsupportedError: a checkpoint that amssim did not write.
    """
    threads = thread_count(threads)
    catalog = read_catalog(path)
    if not catalog.is_ams:
        raise UnsupportedError(f"{path} holds no tensors that amssim packed: nothing to verify")
    original = SourceCheck(source, catalog, threads) if source is not None else None
    tensors, metrics = list(catalog), {}
    done = Steps(sum(tensor.weight_count for _, tensor in tensors), progress)
    for header, tensor in tensors:
        manifest = catalog.manifests[header.path.name]
        _check_sums(header, tensor, manifest.checksums if manifest else {})
        if tensor.packing:
            metrics[tensor.name] = _check_packed(header, tensor, original, threads)
        elif original:
            original.check_kept(header, tensor)
        done.finished(tensor.name, tensor.weight_count)
    return Verification(
        Path(path),
        len(tensors),
        len(metrics),
        sum(header.stamp.size for header in catalog.checkpoint.shards.values()),
        None if source is None else Path(source),
        metrics if original else {},
    )


def _check_sums(header: Header, tensor: LogicalTensor, checksums: dict[str, str]) -> None:
    for spec in tensor.stored:
        crc = crc_text(_stored_crc(header, spec.name))
        if crc != checksums[spec.name]:
            raise MismatchError(
                f"{header.path}: tensor {spec.name!r} is damaged: its checksum is {crc}, "
                f"expected {checksums[spec.name]}"
            )


def _stored_crc(header: Header, name: str) -> int:
    crc = 0
    for piece in read_chunks(header.path, *header.data_range(name)):
        crc = zlib.crc32(piece, crc)
    return crc


def _check_packed(
    header: Header, tensor: LogicalTensor, original: SourceCheck | None, threads: int
) -> Metrics:
    metrics = Metrics()
    with TensorReader(header) as reader:
        for rows, packed in packed_ranges(reader, tensor):
            _check_padding(header, tensor, packed, threads)
            if original:
                metrics += original.check_packed(tensor, rows, packed)
    return metrics


def _check_padding(
    header: Header, tensor: LogicalTensor, packed: PackedTensor, threads: int
) -> None:
    codes = unpack(packed.words, packed.scheme, packed.shape[1], threads=threads)
    if not np.array_equal(pack(codes, packed.scheme, threads=threads), packed.words):
        raise FormatError(f"{header.path}: packed tensor {tensor.name!r} has padding bits set")
