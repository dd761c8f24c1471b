"""What is being published into a directory that exists, written there before any file is.

Whoever finds the journal knows that the directory is between two states, which files it will have,
and where the old ones are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from amssim.checkpoint.safetensors.descriptor import CHUNK_BYTES
from amssim.checkpoint.safetensors.folder import Folder, check_plain
from amssim.checkpoint.safetensors.half_published import JOURNAL
from amssim.checkpoint.safetensors.strict_json import MAX_JSON_BYTES
from amssim.errors import AmsError, MismatchError

_FORMAT = 1
NEW_JOURNAL = "journal.new"


class Content(NamedTuple):
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, folder: Folder, name: str) -> Content:
        """Read a file of ``folder``."""
        digest, size = sha256(), 0
        descriptor = folder.open_file(name, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123  by descriptor
            while piece := file.read(CHUNK_BYTES):
                digest.update(piece)
                size += len(piece)
        return cls(size, digest.hexdigest())


@dataclass(frozen=True)
class Journal:
    """``files`` to come; ``replaced`` are those of them that the directory had before."""

    run: str
    staging: str
    files: Mapping[str, Content]
    replaced: frozenset[str]

    def write(self, staging: Folder, home: Folder) -> None:
        """Put it into ``home``, whole or not at all, and bring it to the disk."""
        value = {
            "format": _FORMAT,
            "run": self.run,
            "staging": self.staging,
            "files": {name: content._asdict() for name, content in self.files.items()},
            "replaced": sorted(self.replaced),
        }
        staging.remove(NEW_JOURNAL)
        staging.write(NEW_JOURNAL, [(json.dumps(value, indent=1, sort_keys=True) + "\n").encode()])
        staging.rename(NEW_JOURNAL, home, JOURNAL)
        home.sync()
        staging.sync()

    @classmethod
    def read(cls, home: Folder) -> Journal | None:
        """Return the journal of a directory, None where there is none.

        Raises:
            MismatchError: something under its name that is no journal.
        """
        if not home.holds(JOURNAL):
            return None
        try:
            value = json.loads(home.read(JOURNAL, MAX_JSON_BYTES))
            if value["format"] != _FORMAT:
                raise ValueError
            files = {check_plain(n): Content(**c) for n, c in value["files"].items()}
            return cls(value["run"], value["staging"], files, frozenset(value["replaced"]))
        except (ValueError, KeyError, TypeError, RecursionError, AmsError):
            raise MismatchError(
                f"{home.path / JOURNAL} is not what this version of amssim writes: the directory "
                "may be half published, and nothing in it is touched; see what wrote it"
            ) from None
