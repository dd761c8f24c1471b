"""Whether a quantised checkpoint is what it claims to be, and how far from its source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amssim._threads import thread_count
from amssim.checkpoint.jobs.source_check import SourceCheck
from amssim.checkpoint.packed.as_written import check_as_written, check_header_as_written
from amssim.checkpoint.packed.catalog import Catalog, read_catalog
from amssim.checkpoint.packed.set_check import Coverage, check_sealed_files, coverage
from amssim.checkpoint.packed.stored import LogicalTensor, packed_ranges
from amssim.checkpoint.packed.sums import check_sum
from amssim.checkpoint.safetensors.checksum import crc32_of
from amssim.checkpoint.safetensors.reader import TensorReader
from amssim.errors import UnsupportedError
from amssim.metrics import Metrics
from amssim.progress import Progress, Steps


@dataclass(frozen=True)
class Verification:
    """What was found to be in order; ``metrics`` by packed tensor if there was a source."""

    path: Path
    tensors: int
    packed: int
    nbytes: int
    coverage: Coverage
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
            **self.coverage.as_dict(),
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
    """Check every stored byte of a checkpoint of amssim's or a sealed one, also with its source.

    Decoding uses the checkpoint's own metadata alone. Checked are the structure, the checksum of
    each stored tensor, that nothing is there which quantising never writes, and that the files are
    those of one seal, each file that the seal covers whole included; and with the source, that
    quantising it again gives the same bits, and that kept tensors equal it.

    Args:
        path: what `quantize_checkpoint`, `save_packed` or `seal_checkpoint` wrote.
        source: the float checkpoint it was made from.
        threads, progress: as for `quantize_checkpoint`.

    Raises:
        MismatchError: a checksum, a bit, a file or a tensor that differs.
        FormatError: parts that are damaged or contradict each other.
        UnsupportedError: a checkpoint with neither checksums nor a seal, or one of plain floats
            that is to be compared with a source.
    """
    threads = thread_count(threads)
    catalog = read_catalog(path)
    _check_verifiable(catalog, source)
    original = SourceCheck(source, catalog, threads) if source is not None else None
    tensors, metrics = list(catalog), {}
    done = Steps(sum(tensor.weight_count for _, tensor in tensors), progress)
    if catalog.seal:
        check_sealed_files(catalog.checkpoint, catalog.seal)
    for shard, header in catalog.checkpoint.shards.items():
        manifest = catalog.manifests[shard]
        if manifest:
            check_header_as_written(header, manifest)
    for header, tensor in tensors:
        with TensorReader(header) as reader:
            _check_sums(reader, tensor)
            if tensor.packing:
                metrics[tensor.name] = _check_packed(reader, tensor, original, threads)
            elif original:
                original.check_kept(header, tensor)
        done.finished(tensor.name, tensor.weight_count)
    return Verification(
        Path(path),
        len(tensors),
        len(metrics),
        sum(header.stamp.size for header in catalog.checkpoint.shards.values()),
        coverage(catalog.checkpoint, catalog.manifests, catalog.seal),
        None if source is None else Path(source),
        metrics if original else {},
    )


def _check_verifiable(catalog: Catalog, source: str | Path | None) -> None:
    path = catalog.checkpoint.path
    if any(catalog.manifests.values()) or (catalog.seal and source is None):
        return
    if catalog.is_ams:
        raise UnsupportedError(
            f"{path} is unsealed and has no checksums: nothing to verify against until amssim seal "
            "has written both"
        )
    raise UnsupportedError(f"{path} holds no tensors that amssim packed: nothing to verify")


def _check_sums(reader: TensorReader, tensor: LogicalTensor) -> None:
    for name, expected in tensor.sums.items():
        first, last = reader.header.data_range(name)
        check_sum(reader.header.path, name, crc32_of(reader.file, first, last), expected)


def _check_packed(
    reader: TensorReader, tensor: LogicalTensor, original: SourceCheck | None, threads: int
) -> Metrics:
    metrics = Metrics()
    for rows, packed in packed_ranges(reader, tensor, verify=False):
        check_as_written(packed, reader.header.path, tensor.name, threads=threads)
        if original:
            metrics += original.check_packed(tensor, rows, packed)
    return metrics
