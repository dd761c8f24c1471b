"""``job.json`` of a staging folder: which run made it, what that run is, which files it makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from amssim.checkpoint.safetensors.folder import Folder, check_plain
from amssim.checkpoint.safetensors.folder_lock import JOB, NEW_JOB
from amssim.checkpoint.safetensors.strict_json import MAX_JSON_BYTES
from amssim.errors import AmsError, OutputError

_FORMAT = 1
_SHOWN = 5


@dataclass(frozen=True)
class JobFile:
    """``directory`` is the inode of ``files/``, by which it is known after it was renamed."""

    run: str
    output: str
    files: tuple[str, ...]
    directory: int
    record: dict[str, Any]

    def write(self, folder: Folder) -> None:
        """Write it whole or not at all."""
        value = {
            "format": _FORMAT,
            "run": self.run,
            "output": self.output,
            "files": self.files,
            "directory": self.directory,
            "job": self.record,
        }
        folder.remove(NEW_JOB)
        folder.write(NEW_JOB, [(json.dumps(value, indent=1, sort_keys=True) + "\n").encode()])
        folder.rename(NEW_JOB, folder, JOB)
        folder.sync()

    @classmethod
    def read(cls, folder: Folder) -> JobFile | None:
        """Return what a folder is for; None if that was never written.

        Raises:
            OutputError: a file that amssim did not write.
        """
        if not folder.holds(JOB):
            return None
        try:
            value = json.loads(folder.read(JOB, MAX_JSON_BYTES))
            found = cls(
                value["run"], value["output"], tuple(value["files"]), value["directory"],
                value["job"],
            )  # fmt: skip
            found.check(value["format"])
        except (ValueError, KeyError, TypeError, RecursionError, AmsError):
            raise OutputError(
                f"{folder.path / JOB} is not what this version of amssim writes: the folder is "
                "left untouched; remove it if you need nothing in it"
            ) from None
        return found

    def check(self, format_: object) -> None:
        """Raise `ValueError` or `InputError` unless all is as `write` writes it.

        Files that it names may be removed, so that none may lie elsewhere.
        """
        texts = (self.run, self.output, *self.files)
        if format_ != _FORMAT or not all(isinstance(text, str) for text in texts):
            raise ValueError
        if type(self.directory) is not int or not isinstance(self.record, dict):
            raise ValueError
        for name in (self.output, *self.files):
            check_plain(name)


def differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return in words where two records differ, the old value first.

    >>> differences({"options": {"dtype": "F16", "k": 4}}, {"options": {"dtype": "F32"}})
    'options.dtype (F16, now F32), options.k (4, now absent)'
    """
    before, after = dict(_flat(old)), dict(_flat(new))
    changed = [key for key in sorted(before | after) if before.get(key) != after.get(key)]
    texts = [
        f"{key} ({before.get(key, 'absent')}, now {after.get(key, 'absent')})"
        for key in changed[:_SHOWN]
    ]
    more = len(changed) - _SHOWN
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")


def _flat(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every leaf of a record as text under a dotted key."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _flat(member, f"{key}.{name}" if key else str(name))
    else:
        yield key, value if isinstance(value, str) else json.dumps(value)
