"""Opening a staging folder: begun, continued, refused, or found to be published already."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amssim.checkpoint.safetensors.folder import Folder
from amssim.checkpoint.safetensors.folder_lock import (
    FILES,
    JOB,
    LOCK,
    NEW_JOB,
    lock_folder,
    release,
    still_here,
    take_lock,
)
from amssim.checkpoint.safetensors.half_published import JOURNAL
from amssim.checkpoint.safetensors.job_file import JobFile, differences
from amssim.checkpoint.safetensors.journal import NEW_JOURNAL
from amssim.checkpoint.safetensors.progress_lines import read_lines
from amssim.checkpoint.safetensors.publish import REPLACED, settle_directory
from amssim.checkpoint.safetensors.target import Target
from amssim.checkpoint.safetensors.token import TOKEN
from amssim.errors import OutputError

_PROGRESS = "progress"


@dataclass(frozen=True)
class Run:
    """What is to be made where: ``id`` is equal for equal jobs, ``record`` says it in words."""

    target: Target
    id: str
    record: dict[str, Any]
    restart: bool = False

    def job(self, inode: int) -> JobFile:
        """Return what the staging folder says of this run."""
        return JobFile(self.id, self.target.path.name, self.target.names, inode, self.record)

    def is_of(self, job: JobFile) -> bool:
        """Whether a folder's work can be continued."""
        return job.run == self.id and job.files == self.target.names


def progress_name(part: str | None = None) -> str:
    """Return the name of the progress file of a part, or of a run without parts."""
    return f"{_PROGRESS}-{part}.jsonl" if part else f"{_PROGRESS}.jsonl"


def finished_tasks(folder: Folder) -> list[dict[str, Any]]:
    """Return the whole lines of all progress files."""
    names = [n for n in folder.names() if n.startswith(_PROGRESS) and n.endswith(".jsonl")]
    return [line for name in names for line in read_lines(folder, name)[0]]


def open_alone(run: Run, home: Folder) -> tuple[Folder, int] | None:
    """Return the run's folder and its exclusive lock; None if the run is published already."""
    folder, lock = lock_folder(home, run.target.folder, run.target.path)
    return (folder, lock) if _keep_open(run, home, folder, lock, alone=True) else None


def open_shared(run: Run, home: Folder) -> tuple[Folder, int] | None:
    """Return folder and lock for one of several processes; None if published already."""
    name, path = run.target.folder, run.target.path
    while True:
        folder, lock = lock_folder(home, name, path, shared=True, wait=True)
        if _is_ready(run, home, folder):
            return folder, lock
        release(folder, lock)
        folder, lock = lock_folder(home, name, path, wait=True)
        if not _keep_open(run, home, folder, lock, alone=False):
            return None
        take_lock(lock, path, shared=True, wait=True)
        if still_here(home, name, folder, lock) and _is_ready(run, home, folder):
            return folder, lock
        release(folder, lock)


def clear(home: Folder, name: str, folder: Folder, lock: int) -> None:
    """Remove a locked staging folder: what amssim put in it and nothing else.

    The order lets a kill leave what is still recognised as amssim's own.
    """
    clear_content(folder)
    for left in (JOB, LOCK):
        folder.remove(left)
    release(folder, lock)  # before the directory goes: network disks keep open files under a name
    home.remove_directory(name)


def clear_content(folder: Folder) -> None:
    """Remove all but job and lock."""
    job = JobFile.read(folder)
    names = [n for n in folder.names() if n.startswith(_PROGRESS) and n.endswith(".jsonl")]
    names += [n for n in folder.names() if n.startswith(TOKEN)]
    for name in (*names, NEW_JOB, NEW_JOURNAL):
        folder.remove(name)
    # a place of old files alone would say that the new ones have their names: see _was_published
    order = (FILES, REPLACED) if _is_empty(folder, FILES) else (REPLACED, FILES)
    for name in order:
        if folder.holds(name):
            _clear_directory(folder, name, job.files if job else ())


def _clear_directory(folder: Folder, name: str, files: Iterable[str]) -> None:
    directory = folder.sub(name)
    try:
        for file in files:
            directory.remove(file)
        foreign = directory.names()
    finally:
        directory.close()
    if foreign:
        raise OutputError(
            f"{folder.path / name} holds {foreign[0]}, which amssim did not make: it is left "
            "untouched; remove it and run again"
        )
    folder.remove_directory(name)


def _keep_open(run: Run, home: Folder, folder: Folder, lock: int, *, alone: bool) -> bool:
    """Prepare a locked folder; if nothing is left to be done, remove it and return False."""
    try:
        if _is_published(run, home, folder):
            clear(home, run.target.folder, folder, lock)
            return False
        _prepare(run, folder, alone=alone)
    except BaseException:
        _leave(home, run.target.folder, folder, lock)
        raise
    return True


def _leave(home: Folder, name: str, folder: Folder, lock: int) -> None:
    """Give up a folder; one that has not become any run's goes."""
    with suppress(OSError):
        if not folder.holds(JOB):
            clear(home, name, folder, lock)
    release(folder, -1 if folder.fd < 0 else lock)


def _is_ready(run: Run, home: Folder, folder: Folder) -> bool:
    if run.target.in_place and home.holds(JOURNAL):
        return False
    job = JobFile.read(folder)
    return job is not None and run.is_of(job) and folder.holds(FILES)


def _is_published(run: Run, home: Folder, folder: Folder) -> bool:
    """Settle what is half published; return whether it was this run, and is whole now."""
    settled = settle_directory(home, folder) if run.target.in_place else None
    job = JobFile.read(folder)
    if settled and not job:
        return settled == (run.id, True)
    if not job or not _was_published(run.target, job, home, folder):
        return False
    if job.run == run.id:
        return True
    clear_content(folder)
    return False


def _was_published(target: Target, job: JobFile, home: Folder, folder: Folder) -> bool:
    """Whether a run was killed after its last file had its name, before the folder was gone."""
    if target.in_place:
        there = all(home.holds(name) for name in job.files)
        return there and folder.holds(REPLACED) and _is_empty(folder, FILES)
    status = home.status(target.path.name)
    if status is None:
        return False
    if status.st_ino != job.inode:
        return False
    return target.is_file or not folder.holds(FILES)


def _is_empty(folder: Folder, name: str) -> bool:
    if not folder.holds(name):
        return True
    directory = folder.sub(name)
    try:
        return not directory.names()
    finally:
        directory.close()


def _prepare(run: Run, folder: Folder, *, alone: bool) -> None:
    """Let a locked folder be one of this run."""
    job = JobFile.read(folder)
    if job is None:
        clear_content(folder)
    else:
        _check_output(run, job, folder)
        same = run.is_of(job)
        if not same and not run.restart and finished_tasks(folder):
            raise _differs(run, job, folder.path)
        if not same or (run.restart and alone) or not folder.holds(FILES):
            clear_content(folder)
    if job is None or not folder.holds(FILES) or not run.is_of(job):
        with suppress(FileExistsError):
            folder.make(FILES)
        run.job(inode_of(folder, FILES)).write(folder)


def _check_output(run: Run, job: JobFile, folder: Folder) -> None:
    if job.output != run.target.path.name:
        raise OutputError(
            f"{folder.path} is for the output {job.output!r}, not {run.target.path.name!r}: it is "
            "left untouched; remove it if you need nothing in it"
        )


def _differs(run: Run, job: JobFile, path: Path) -> OutputError:
    old = {"files": ", ".join(job.files), "run": job.run}
    new = {"files": ", ".join(run.target.names), "run": run.id}
    record, now = ({**each, "run": ""} for each in (job.record, run.record))  # told by the rest
    changed = differences(record, now) or differences(old, new)
    return OutputError(
        f"{path} holds finished work of another run for {run.target.path}: {changed}: give the "
        "same command to continue it, or --restart to discard it"
    )


def inode_of(folder: Folder, name: str) -> int:
    """Return the inode of what must be there."""
    status = folder.status(name)
    if status is None:
        raise OutputError(f"{folder.path / name} has vanished: is another program at work there?")
    return status.st_ino


def settle_beside(run: Run) -> bool:
    """Look for the folder of a run that made the directory which is there now.

    Returns whether it was this run, and had only that folder left to remove.

    Raises:
        OutputError: unfinished work, begun before the directory was there.
    """
    target = run.target
    if not target.in_place or not os.path.lexists(target.path.parent / target.beside):
        return False
    home = Folder.at(target.path.parent)
    try:
        folder, lock = lock_folder(home, target.beside, target.path)
    except OutputError:  # at work, or not amssim's: no matter here
        home.close()
        return False
    try:
        job = JobFile.read(folder)
        over = not folder.holds(FILES) or not finished_tasks(folder)
        if not over and not run.restart:
            raise OutputError(
                f"{folder.path} holds unfinished work for {target.path}, which has been made "
                f"since: remove the directory {target.path} to continue it, or --restart to "
                "discard it"
            )
        there = all(os.path.lexists(target.path / name) for name in target.names)
        made = there and job is not None and target.path.stat().st_ino == job.inode
        clear(home, target.beside, folder, lock)
        return made and job is not None and job.run == run.id
    finally:
        release(folder, -1 if folder.fd < 0 else lock)
        home.close()
