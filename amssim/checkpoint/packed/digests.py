"""Digests of whole files, and of all that decides what a job makes of a checkpoint."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from amssim.checkpoint.packed.seal import SEAL_NAME, SealedFile
from amssim.checkpoint.safetensors.descriptor import OpenFile
from amssim.checkpoint.safetensors.shards import CARD_NAME, CONFIG_NAME, INDEX_NAME, Checkpoint


def sealed_file(path: Path, *, follow_links: bool = True) -> SealedFile:
    """Return size and SHA-256 of a file, read once from its start to its end.

    Raises:
        AmsError: a file that cannot be opened or read.
        MismatchError: a file that changed meanwhile.
    """
    digest = hashlib.sha256()
    with OpenFile(path, follow_links=follow_links) as file:
        for piece in file.chunks(0, file.stamp.size):
            digest.update(piece)
        file.check_unchanged()
        return SealedFile(file.stamp.size, sha256=digest.hexdigest())


def source_digests(checkpoint: Checkpoint) -> dict[str, str]:
    """Return a SHA-256 by name of every file of a source, in hexadecimal digits.

    Of a shard it is that of the header, which is read anyway; of every other file that of the
    whole. A seal covers the shards' data, so a sealed source is known to the last byte.
    """
    digests = {name: header.digest for name, header in checkpoint.shards.items()}
    if checkpoint.is_directory:
        known = (INDEX_NAME, CONFIG_NAME, SEAL_NAME, CARD_NAME)
        names = [name for name in known if os.path.lexists(checkpoint.path / name)]
        names += checkpoint.other_files()[0]
        follow = checkpoint.follow_links
        for name in names:
            found = sealed_file(checkpoint.path / name, follow_links=follow)
            digests[name] = found.sha256 or ""
    return digests
