"""Whether a quantised checkpoint is what it claims to be, and how far from its source."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from amssim._threads import thread_count
from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.memory import verify_bytes
from amssim.checkpoint.jobs.pool import Pool, Work
from amssim.checkpoint.jobs.readers import Readers
from amssim.checkpoint.jobs.source_check import SourceCheck
from amssim.checkpoint.jobs.verify_parts import Errors, TensorCheck, VerifyPart
from amssim.checkpoint.packed.as_written import check_header_as_written
from amssim.checkpoint.packed.catalog import Catalog, read_catalog
from amssim.checkpoint.packed.seal import SealedFile
from amssim.checkpoint.packed.set_check import Coverage, check_whole, coverage
from amssim.checkpoint.safetensors.shards import Checkpoint
from amssim.errors import UnsupportedError
from amssim.metrics import Metrics
from amssim.progress import Progress, Steps


@dataclass(frozen=True)
class Verification:
    """What was found to be in order.

    If there was a source, ``metrics`` are by packed tensor (without their histograms), and
    ``total`` those of all together. ``peak_bytes`` is the bound that memory was held to.
    """

    path: Path
    tensors: int
    packed: int
    nbytes: int
    coverage: Coverage
    source: Path | None
    metrics: dict[str, Metrics]
    total: Metrics
    peak_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        compared = self.source is not None
        return {
            "path": str(self.path),
            "tensors": self.tensors,
            "packed_tensors": self.packed,
            "checked_bytes": self.nbytes,
            "peak_memory_bytes": self.peak_bytes,
            **self.coverage.as_dict(),
            "source": str(self.source) if compared else None,
            "error": self.total.as_dict() if compared else None,
            "error_by_tensor": {name: m.as_dict() for name, m in sorted(self.metrics.items())},
        }


def verify_checkpoint(
    path: str | Path,
    source: str | Path | None = None,
    *,
    follow_links: bool = True,
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
        follow_links: False refuses both, and files of them, that are symbolic links.
        threads, progress: as for `quantize_checkpoint`.

    Raises:
        MismatchError: a checksum, a bit, a file or a tensor that differs.
        FormatError: parts that are damaged or contradict each other.
        UnsupportedError: a checkpoint with neither checksums nor a seal, or one of plain floats
            that is to be compared with a source.
    """
    threads = thread_count(threads)
    catalog = read_catalog(path, follow_links=follow_links)
    _check_verifiable(catalog, source)
    readers = Readers()
    original = SourceCheck(source, catalog, readers) if source is not None else None
    _check_headers(catalog)
    errors = Errors()
    checks = _tensor_checks(catalog, original, errors, readers)
    with closing(readers):
        _run(catalog, checks, threads, progress)
    return Verification(
        Path(path),
        len(checks),
        sum(check.tensor.packing is not None for check in checks),
        sum(header.stamp.size for header in catalog.checkpoint.shards.values()),
        coverage(catalog.checkpoint, catalog.manifests, catalog.seal),
        None if source is None else Path(source),
        errors.by_tensor,
        errors.total,
        verify_bytes((tensor for _, tensor in catalog), threads, compared=source is not None),
    )


def _tensor_checks(
    catalog: Catalog, source: SourceCheck | None, errors: Errors, readers: Readers
) -> list[TensorCheck]:
    checks, number = [], 0
    for header, tensor in catalog:
        checks.append(TensorCheck(header, tensor, source, errors, readers, number))
        number += len(checks[-1].parts)
    return checks


def _run(
    catalog: Catalog, checks: list[TensorCheck], threads: int, progress: Progress | None
) -> None:
    news: deque[tuple[str, int]] = deque()
    done = Steps(sum(check.tensor.weight_count for check in checks), progress)

    def tell() -> None:
        while news:
            done.finished(*news.popleft())

    files = catalog.seal.files.items() if catalog.seal else []
    sealed = (_CheckWhole(catalog.checkpoint, name, e) for name, e in files if e.sha256)
    parts = (VerifyPart(check, at, news) for check in checks for at in range(len(check.parts)))
    for check in checks:
        if not check.parts:  # nothing is stored, which has a checksum too
            check.finish()
    Pool(chain(sealed, parts), threads, tell).run()
    for header in catalog.checkpoint.shards.values():
        header.check_unchanged()


@dataclass(frozen=True)
class _CheckWhole:
    checkpoint: Checkpoint
    name: str
    entry: SealedFile
    number: int = -1
    waits: bool = False

    def run(self, room: Buffers) -> Iterable[Work]:
        check_whole(self.checkpoint, self.name, self.entry)
        return []


def _check_headers(catalog: Catalog) -> None:
    for shard, header in catalog.checkpoint.shards.items():
        manifest = catalog.manifests[shard]
        if manifest:
            check_header_as_written(header, manifest)


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
