"""The files by which a staging folder and a journal are continued, as targets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

from amssim.checkpoint.safetensors.folder import Folder, check_plain
from amssim.checkpoint.safetensors.folder_lock import JOB
from amssim.checkpoint.safetensors.job_file import JobFile
from amssim.checkpoint.safetensors.journal import Content, Journal
from amssim.checkpoint.safetensors.progress_lines import decode_lines, encode_line
from amssim.checkpoint.safetensors.target import JOURNAL
from fuzz.mutations import change_bytes, change_value, encode

LINES = [
    {"task": 0, "crcs": [1, 2**32 - 1], "source": []},
    {"task": 1, "crcs": [7], "source": [3, 4]},
    {"task": 7, "crcs": [], "source": [0]},
]
DIGEST = "0" * 64


def progress_lines() -> tuple:
    """Whole lines are believed; of others nothing is, nor of what follows.

    A changed line whose checksum was made to fit, which guided changes manage, is a whole one: what
    it says is for `amssim.checkpoint.jobs.resume` to judge.
    """
    valid = b"".join(map(encode_line, LINES))

    def check(raw: bytes) -> None:
        lines, end = decode_lines(raw)
        if b"".join(map(encode_line, lines)) != raw[:end]:
            raise ValueError("bytes were passed over")

    return lambda rng: change_bytes(valid, rng), check


def job_file(folder: Path) -> tuple:
    """What is read has the types of what was written, and names files of the folder alone."""
    home = Folder.at(folder)
    JobFile("0" * 32, "out", ("a.safetensors", "config.json"), 12, {"options": {"k": 4}}).write(
        home
    )

    def check(raw: bytes) -> None:
        (folder / JOB).write_bytes(raw)
        job = JobFile.read(home)
        if job is None:
            raise ValueError("nothing was read")
        if not isinstance(job.inode, int) or not isinstance(job.record, dict):
            raise TypeError("a job of other types was read")
        for name in job.files:
            check_plain(name)  # what it names may be removed

    return json_change((folder / JOB).read_bytes()), check


def journal(folder: Path) -> tuple:
    """The same of a journal: the next run renames what it names."""
    home = Folder.at(folder)
    files = {"a.safetensors": Content(3, DIGEST), "config.json": Content(0, DIGEST)}
    Journal("0" * 32, ".amssim-partial", files, frozenset({"config.json"})).write(home, home)

    def check(raw: bytes) -> None:
        (folder / JOURNAL).write_bytes(raw)
        found = Journal.read(home)
        if found is None:
            raise ValueError("nothing was read")
        for content in found.files.values():
            if not isinstance(found.run, str) or type(content.size) is not int:
                raise TypeError("a journal of other types was read")
            if len(content.sha256) != len(DIGEST):
                raise TypeError("a journal of other types was read")
        for name in (found.staging, *found.files, *found.replaced):
            check_plain(name)
        if not found.replaced <= found.files.keys():
            raise ValueError("a journal replaces what it does not bring")

    return json_change((folder / JOURNAL).read_bytes()), check


def json_change(valid: bytes) -> Callable[[Random], bytes]:
    """Return changes of a JSON file, half of them of its structure."""
    value = json.loads(valid)

    def change(rng: Random) -> bytes:
        if rng.random() < 0.5:
            return change_bytes(valid, rng)
        return encode(change_value(json.loads(json.dumps(value)), rng), rng)

    return change
