"""Binding the files of a directory into one set, which `quantize_checkpoint` does by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amssim.checkpoint.jobs.new_set import NewSet, laid_out, new_set
from amssim.checkpoint.packed.catalog import Catalog, read_catalog
from amssim.checkpoint.packed.manifest_checks import read_manifest
from amssim.checkpoint.packed.seal import Seal
from amssim.checkpoint.packed.set_check import coverage
from amssim.checkpoint.packed.sums import check_stored
from amssim.checkpoint.safetensors.half_published import JOURNAL
from amssim.checkpoint.safetensors.header import Header, read_header
from amssim.checkpoint.safetensors.reader import TensorReader
from amssim.checkpoint.safetensors.staging import Staging
from amssim.checkpoint.safetensors.target import rewriting_target
from amssim.errors import MismatchError, UnsupportedError
from amssim.progress import Progress


@dataclass(frozen=True)
class Sealing:
    """What was sealed; ``rewritten`` names the files that were replaced for it."""

    path: Path
    seal: Seal
    rewritten: tuple[str, ...]
    uncovered: tuple[str, ...]
    remarks: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {
            "path": str(self.path),
            "digest": self.seal.digest,
            "run": self.seal.run,
            "files": {name: entry.as_dict() for name, entry in sorted(self.seal.files.items())},
            "rewritten": list(self.rewritten),
            "not_covered": list(self.uncovered),
            "remarks": list(self.remarks),
        }


def seal_checkpoint(path: str | Path, *, progress: Progress | None = None) -> Sealing:
    """Bind the files of a directory into one set: amssim's of any format, or any other's.

    Checksums that are there are compared first, all of them. Shards of amssim's get a manifest that
    names the set; those that another tool saved, and config.json tells of, get one with checksums.
    Where such a tool put the parts of a packed tensor into several files, they come to that of its
    words, and the index says so. The bytes of tensors stay as they are, and so do all files of a
    checkpoint that amssim did not pack. New files replace the old ones all together. What is
    sealed as it is stays untouched.

    Args:
        path: a directory of safetensors files, sealed or not.
        progress: called with bytes read, all bytes and a file's name.

    Raises:
        MismatchError: a tensor that is damaged; a config.json that contradicts the tensors.
        FormatError: files that are damaged or contradict each other.
        UnsupportedError: a single file, which needs no seal.
        OutputError, ResourceError: a directory that cannot be written.
    """
    path = Path(path)
    _settle(path)
    catalog = read_catalog(path, sealed=False)
    if not catalog.checkpoint.is_directory:
        raise UnsupportedError(
            f"{path} is one file, which its own checksums cover: a seal binds those of a directory"
        )
    made = new_set(catalog, progress)
    if made.headers or made.texts:
        _replace(catalog, made)
    catalog = read_catalog(path)
    left = coverage(catalog.checkpoint, catalog.manifests, made.seal).uncovered
    rewritten = tuple(sorted([*made.headers, *made.texts]))
    return Sealing(path, made.seal, rewritten, left, made.remarks)


def _settle(path: Path) -> None:
    """Finish or take back what a killed run left half published."""
    if os.path.lexists(path / JOURNAL):
        with Staging.open(rewriting_target(path, ()), {"run": "settle", "job": "settle"}):
            pass


def _replace(catalog: Catalog, made: NewSet) -> None:
    """Give the directory its new files, once they have been read back."""
    path = catalog.checkpoint.path
    target = rewriting_target(path, [*made.headers, *made.texts])
    shards = {name: catalog.checkpoint.shards[name] for name in made.headers}
    sizes = [made.seal.files[name].size for name in shards] + [len(t) for t in made.texts.values()]
    record = {"run": made.seal.digest[:32], "job": "seal"}
    with Staging.open(target, record) as staging:
        staging.check_space(sum(sizes))
        for name, header in shards.items():
            staging.write(name, _with_header(header, made.headers[name]))
            _check_staged(staging.directory / name, made.seal)
        for name, text in made.texts.items():
            staging.write(name, [text])
        staging.publish()


def _with_header(header: Header, new: bytes) -> Iterator[bytes]:
    """Yield a shard with another header, and all its tensors, some perhaps of other files."""
    yield new
    with TensorReader(header) as reader:
        for info in laid_out(header):
            yield from reader.chunks(info.name)
        reader.check_unchanged()


def _check_staged(path: Path, seal: Seal) -> None:
    """Read a staged shard as any other; `MismatchError` if it is not the one that is sealed."""
    header = read_header(path)
    manifest = read_manifest(header)
    tensors = header.tensors.values()
    if manifest is None or manifest.content_digest(tensors) != seal.files[path.name].content:
        raise MismatchError(f"{path} is not what was written: is the disk sound?")
    with TensorReader(header) as reader:
        check_stored(reader, {name: int(crc, 16) for name, crc in manifest.checksums.items()})
