"""``job.json`` of a staging folder: which run made it, what that run is, which files it makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from amssim.checkpoint.safetensors.folder import Folder, is_plain_name
from amssim.checkpoint.safetensors.folder_lock import JOB, NEW_JOB
from amssim.checkpoint.safetensors.strict_json import MAX_JSON_BYTES
from amssim.errors import OutputError

_FORMAT = 1
_SHOWN = 5


@dataclass(frozen=True)
class JobFile:
    """``inode`` is that of what gets the output's name, by which it is known when it has it."""

    run: str
    output: str
    files: tuple[str, ...]
    inode: int
    record: dict[str, Any]

    def write(self, folder: Folder) -> None:
        """Write it whole or not at all; on the disk it is after `sync_job`."""
        value = {"format": _FORMAT, **asdict(self)}
        text = json.dumps(value, indent=1, sort_keys=True) + "\n"
        folder.remove(NEW_JOB)
        folder.write(NEW_JOB, [text.encode()], durable=False)
        folder.rename(NEW_JOB, folder, JOB)

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
            found = cls(**{field.name: value[field.name] for field in fields(cls)})
            known = type(value["format"]) is int and value["format"] == _FORMAT
            if known and found._is_well_formed():
                return replace(found, files=tuple(found.files))
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        raise OutputError(
            f"{folder.path / JOB} is not what this version of amssim writes: the folder is left "
            "untouched; remove it if you need nothing in it"
        )

    def _is_well_formed(self) -> bool:
        files: object = self.files
        return (
            isinstance(files, list)
            and all(isinstance(text, str) for text in (self.run, self.output, *files))
            and all(is_plain_name(name) for name in self.files)
            and type(self.inode) is int
            and isinstance(self.record, dict)
        )


def sync_job(folder: Folder) -> None:
    """Bring what a folder is for to the disk, which work that is worth keeping needs."""
    folder.sync_file(JOB)
    folder.sync()


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
