"""What is being published into a directory that exists, written there before any file is.

Whoever finds the journal knows that the directory is between two states, which files it will have,
and where the old ones are.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from amssim.checkpoint.safetensors.descriptor import CHUNK_BYTES
from amssim.checkpoint.safetensors.folder import Folder, check_plain
from amssim.checkpoint.safetensors.half_published import JOURNAL
from amssim.checkpoint.safetensors.strict_json import MAX_JSON_BYTES
from amssim.errors import AmsError, MismatchError

_FORMAT = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")
NEW_JOURNAL = "journal.new"


class Content(NamedTuple):
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str

    @classmethod
    def checked(cls, *, size: object, sha256: object) -> Content:
        """Return what a journal says of a file; `ValueError` for what none says."""
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ValueError
        if not isinstance(sha256, str) or not _DIGEST.fullmatch(sha256):
            raise ValueError
        return cls(size, sha256)

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
            return cls._of_value(json.loads(home.read(JOURNAL, MAX_JSON_BYTES)))
        except (ValueError, KeyError, TypeError, RecursionError, AmsError):
            raise MismatchError(
                f"{home.path / JOURNAL} is not what this version of amssim writes: the directory "
                "may be half published, and nothing in it is touched; see what wrote it"
            ) from None

    @classmethod
    def _of_value(cls, value: Any) -> Journal:
        """Return the journal that `write` wrote, or raise one of the errors that `read` knows."""
        if type(value["format"]) is not int or value["format"] != _FORMAT:
            raise ValueError
        if not isinstance(value["files"], dict):
            raise ValueError
        files = {check_plain(n): Content.checked(**c) for n, c in value["files"].items()}
        replaced = frozenset(value["replaced"])
        if not isinstance(value["run"], str) or not replaced <= files.keys():
            raise ValueError
        return cls(value["run"], check_plain(value["staging"]), files, replaced)
