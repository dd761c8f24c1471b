"""The seal of a checkpoint: which files are one set, what each holds, and where they come from.

The seal lies beside the files as ``amssim.seal.json``, and each shard's manifest holds its digest,
so that a file of another set, an older state or an altered one does not pass.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from amssim import __version__
from amssim.checkpoint.packed.manifest import SetId
from amssim.checkpoint.safetensors.strict_json import canonical_json, parse_json
from amssim.errors import FormatError, UnsafePathError, UnsupportedError

SEAL_NAME = "amssim.seal.json"
#: Version of the record's form.
SEAL_FORMAT = 1

_FIELDS = {"format", "version", "run", "source", "options", "files"}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FILE_FORMS = ({"size", "content"}, {"size", "sha256"}, {"size", "header", "sha256"})


class SealedFile(NamedTuple):
    """What a seal says of a file: its size, and digests in hexadecimal digits.

    A file with a manifest has the ``content`` digest alone, which needs only its header, any other
    one the ``sha256`` of its bytes, and a safetensors file the one of its ``header`` too.
    """

    size: int
    content: str | None = None
    sha256: str | None = None
    header: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {key: value for key, value in self._asdict().items() if value is not None}


@dataclass(frozen=True)
class Seal:
    """The record of a set: its files by name, and the job that made them.

    Args:
        files: every file of the set but the seal.
        source: digest of each file that decided what was made, by name; see `source_digests`.
        options: of the job, JSON.
        version: of amssim that made the files.
    """

    files: dict[str, SealedFile]
    source: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    version: str = field(default_factory=lambda: __version__)

    @property
    def run(self) -> str:
        """Id of the job: the same for the same job, however often and wherever it is done."""
        return run_of(self.version, self.source, self.options)

    @property
    def digest(self) -> str:
        """SHA-256 of the record, which every manifest of the set holds."""
        return hashlib.sha256(self.encode()).hexdigest()

    @property
    def set_id(self) -> SetId:
        """What every manifest of the set holds."""
        return SetId(self.run, self.digest)

    def encode(self) -> bytes:
        """Return the file: one text for one seal."""
        value = {
            "format": SEAL_FORMAT,
            "version": self.version,
            "run": self.run,
            "source": self.source,
            "options": self.options,
            "files": {name: entry.as_dict() for name, entry in self.files.items()},
        }
        return (canonical_json(value) + "\n").encode()


def run_of(version: str, source: Mapping[str, str], options: Mapping[str, Any]) -> str:
    """Return the id of a job: 32 hexadecimal digits that depend on what it is, and only on that.

    >>> run_of("9.9", {}, {"scheme": "fp4.25-e2m2"})
    '...'
    """
    job = {"version": version, "source": dict(source), "options": dict(options)}
    return hashlib.sha256(canonical_json(job).encode()).hexdigest()[:32]


def parse_seal(raw: bytes, path: Path) -> Seal:
    """Return the seal that `Seal.encode` gave as ``raw``; ``path`` names it in errors.

    Raises:
        FormatError: anything else, to the last byte.
        UnsafePathError: a file that would lie elsewhere.
        UnsupportedError: a newer form.
    """
    value = parse_json(raw, str(path))
    if not isinstance(value, dict):
        raise FormatError(f"{path} must hold a JSON object")
    number, version = value.get("format"), value.get("version")
    if type(number) is not int or not isinstance(version, str):
        raise FormatError(f"{path} must state format and version")
    if number != SEAL_FORMAT:
        raise UnsupportedError(
            f"{path}: written by amssim {version} in format {number}, but amssim {__version__} "
            f"reads format {SEAL_FORMAT}: use that version"
        )
    if value.keys() != _FIELDS:
        raise FormatError(f"{path} must have exactly the fields {', '.join(sorted(_FIELDS))}")
    if not all(isinstance(value[key], dict) for key in ("source", "options", "files")):
        raise FormatError(f"{path}: source, options and files must be objects")
    if not all(isinstance(digest, str) for digest in value["source"].values()):
        raise FormatError(f"{path}: source must map names to digests")
    files = {name: _sealed_file(entry, name, path) for name, entry in value["files"].items()}
    seal = Seal(files, value["source"], value["options"], version)
    if seal.encode() != raw:
        raise FormatError(f"{path} was altered: it is not written as amssim writes it")
    return seal


def _sealed_file(entry: object, name: str, path: Path) -> SealedFile:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise UnsafePathError(f"{path}: {name!r} is no file name")
    if not isinstance(entry, dict) or entry.keys() not in _FILE_FORMS:
        raise FormatError(f"{path}: file {name!r} must have a size, and content or sha256")
    size, *digests = (entry[key] for key in sorted(entry, key="size".__ne__))
    if type(size) is not int or size < 0:
        raise FormatError(f"{path}: file {name!r}: size must be a whole number, found {size!r}")
    if not all(isinstance(text, str) and _DIGEST.fullmatch(text) for text in digests):
        raise FormatError(f"{path}: file {name!r}: a digest must be 64 hexadecimal digits")
    return SealedFile(**entry)
