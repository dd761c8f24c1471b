"""Whether the files of a checkpoint are one set: those that its seal names, as it names them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from amssim.checkpoint.packed.digests import sealed_file
from amssim.checkpoint.packed.manifest import Manifest
from amssim.checkpoint.packed.seal import SEAL_NAME, Seal, SealedFile, parse_seal
from amssim.checkpoint.safetensors.files import read_whole
from amssim.checkpoint.safetensors.header import Header
from amssim.checkpoint.safetensors.shards import CONFIG_NAME, INDEX_NAME, Checkpoint
from amssim.errors import MismatchError

UNSEALED = "unsealed set: nothing binds these files together (amssim seal)"
_ALTERED = "was altered: its bytes are not those that are sealed"
_REMEDY = "copy it again from where the checkpoint came, or, if it is meant to be so, seal anew"


def check_set(
    checkpoint: Checkpoint, manifests: Mapping[str, Manifest | None]
) -> tuple[Seal | None, tuple[str, ...]]:
    """Return the seal of a directory, None where it has none, and remarks.

    Headers, sizes, index and config.json are compared with the seal; other files are not read.

    Raises:
        MismatchError: files that are missing, altered, too many or of another set.
        FormatError, UnsupportedError: a seal that is damaged or of a newer form.
    """
    members = {name: m.set_id for name, m in manifests.items() if m and m.set_id}
    if not checkpoint.is_directory:
        return None, tuple(
            f"{name} belongs to a sealed set and is opened alone: the seal is not looked at"
            for name in members
        )
    path = checkpoint.path / SEAL_NAME
    if not os.path.lexists(path):
        for name in members:
            _refuse(checkpoint.path / name, f"belongs to a sealed set, but {SEAL_NAME} is missing")
        return None, (UNSEALED,) if any(manifests.values()) else ()
    seal = read_seal(checkpoint)
    _check_shards(checkpoint, manifests, seal)
    for name in (INDEX_NAME, CONFIG_NAME):
        _check_described(checkpoint, name, seal)
    return seal, ()


def read_seal(checkpoint: Checkpoint) -> Seal:
    """Return the seal of a directory; errors as `parse_seal`."""
    path, follow = checkpoint.path / SEAL_NAME, checkpoint.follow_links
    return parse_seal(read_whole(path, follow_links=follow), path)


def _check_shards(
    checkpoint: Checkpoint, manifests: Mapping[str, Manifest | None], seal: Seal
) -> None:
    for name, entry in seal.files.items():
        if (entry.content or entry.header) and name not in checkpoint.shards:
            _refuse(checkpoint.path / name, "is sealed as a shard and is none of the checkpoint")
    for name, header in checkpoint.shards.items():
        if name not in seal.files:
            _refuse(header.path, f"is a shard that {SEAL_NAME} does not name")
        entry, manifest = seal.files[name], manifests[name]
        if header.stamp.size != entry.size:
            _refuse(header.path, f"has {header.stamp.size} bytes, but {entry.size} are sealed")
        if manifest:
            _check_member(header, manifest, entry, seal)
        elif header.digest != entry.header:
            _refuse(header.path, "has another header than the one that is sealed")


def _check_member(header: Header, manifest: Manifest, entry: SealedFile, seal: Seal) -> None:
    if manifest.content_digest(header.tensors.values()) != entry.content:
        _refuse(header.path, "holds other tensors than those that are sealed")
    if manifest.set_id != seal.set_id:
        found = manifest.set_id.digest if manifest.set_id else "none"
        _refuse(header.path, f"belongs to another set: {found}, expected {seal.digest}")


def _check_described(checkpoint: Checkpoint, name: str, seal: Seal) -> None:
    """Compare index or config.json, which say what the shards mean."""
    path = checkpoint.path / name
    if name in seal.files:
        check_whole(checkpoint, name, seal.files[name])
    elif os.path.lexists(path):
        _refuse(path, "is not sealed with the files that it describes")


def check_digests(checkpoint: Checkpoint, seal: Seal, digests: Mapping[str, str]) -> None:
    """Compare files that hold no tensors with the seal, by their ``digests``, which are known.

    Raises:
        MismatchError: one that was altered, or is no file any more.
    """
    for name, entry in seal.files.items():
        if entry.content or entry.header or digests.get(name) == entry.sha256:
            continue
        _refuse(checkpoint.path / name, _ALTERED if name in digests else "is sealed and missing")


def check_whole(checkpoint: Checkpoint, name: str, entry: SealedFile) -> None:
    """Read a file that the seal covers whole; `MismatchError` if it is not as it was sealed."""
    path = checkpoint.path / name
    if not os.path.lexists(path):
        _refuse(path, "is sealed and missing")
    found = sealed_file(path, follow_links=checkpoint.follow_links)
    if (found.size, found.sha256) != (entry.size, entry.sha256):
        _refuse(path, _ALTERED)


def _refuse(path: Path, fault: str) -> NoReturn:
    raise MismatchError(f"{path} {fault}: {_REMEDY} (amssim seal)")


@dataclass(frozen=True)
class Coverage:
    """Which files of a checkpoint are compared with something when every byte is read.

    ``by_checksums`` have a manifest, which covers them; ``by_seal`` are whole in the seal;
    ``uncovered`` lie in the same directory and nothing says what they should be.
    """

    sealed: bool
    by_checksums: tuple[str, ...]
    by_seal: tuple[str, ...] = ()
    uncovered: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {
            "sealed": self.sealed,
            "covered_by_checksums": list(self.by_checksums),
            "covered_by_seal": list(self.by_seal),
            "not_covered": list(self.uncovered),
        }


def coverage(
    checkpoint: Checkpoint, manifests: Mapping[str, Manifest | None], seal: Seal | None
) -> Coverage:
    """Return what is covered of a checkpoint; folders are named with a slash."""
    by_checksums = tuple(sorted(name for name, manifest in manifests.items() if manifest))
    if not checkpoint.is_directory:
        return Coverage(False, by_checksums)
    by_seal = sorted(name for name, entry in seal.files.items() if entry.sha256) if seal else []
    known = {*by_checksums, *by_seal, *([SEAL_NAME] if seal else [])}
    rest = sorted(p.name + "/" * p.is_dir() for p in checkpoint.path.iterdir())
    uncovered = tuple(name for name in rest if name not in known)
    return Coverage(seal is not None, by_checksums, tuple(by_seal), uncovered)
