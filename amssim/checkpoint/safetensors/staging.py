"""Unfinished files of one output, in a folder that this run made or continues.

The folder holds ``lock``, ``job.json``, progress lines and the files themselves. It outlives the
process, so that the same command continues; publishing gives the files their names, all or none.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from amssim.checkpoint.safetensors.folder import Folder
from amssim.checkpoint.safetensors.folder_lock import FILES, release, still_here
from amssim.checkpoint.safetensors.half_published import JOURNAL
from amssim.checkpoint.safetensors.held_signals import held_signals
from amssim.checkpoint.safetensors.job_file import sync_job
from amssim.checkpoint.safetensors.journal import Content
from amssim.checkpoint.safetensors.opening import (
    Run,
    clear,
    finished_tasks,
    inode_of,
    open_alone,
    open_shared,
    progress_name,
    settle_beside,
)
from amssim.checkpoint.safetensors.output_errors import (
    OtherCommand,
    as_sentence,
    of_the_data,
    output_errors,
)
from amssim.checkpoint.safetensors.parents import make_parents, remove_made, sync_names
from amssim.checkpoint.safetensors.progress_lines import ProgressLines
from amssim.checkpoint.safetensors.publish import (
    contents_of,
    publish_directory,
    publish_file,
    publish_in_place,
)
from amssim.checkpoint.safetensors.space import check_space
from amssim.checkpoint.safetensors.staged_files import StagedFiles
from amssim.checkpoint.safetensors.target import Target
from amssim.errors import AmsError, OutputError


class Staging(StagedFiles):
    """A run's staging folder, locked; made by `Staging.open`, and used as a context manager.

    ``resumed`` tells that it holds finished tasks of the same run; ``published`` that every file
    has its name: from `publish`, or because a run before was killed only after that.

    An error that leaves the block, unless it is one of the data, keeps what is finished; the error
    has a note of what was kept.
    """

    def __init__(
        self,
        run: Run,
        part: str | None,
        home: Folder,
        held: tuple[Folder, int] | None,
        made: list[Path],
    ):
        self.target, self.published = run.target, held is None
        self._run, self._part, self._home, self._made = run, part, home, made
        self._folder, self._lock = held or (Folder(home.path / run.target.folder, -1), -1)
        self._lines: ProgressLines | None = None
        files = self._folder.sub(FILES) if held else Folder(self.path / FILES, -1)
        super().__init__(files, run.target.names)
        self._kept = self._is_half = False
        self._one_thread = threading.Lock()
        self._finished = len(self.read_progress())
        self.resumed = self._finished > 0

    @classmethod
    def open(
        cls,
        target: Target,
        record: dict[str, Any],
        *,
        restart: bool = False,
        part: str | None = None,
    ) -> Staging:
        """Begin a staging folder for ``target``, or continue the one that is there.

        Args:
            target: where the files go and what they are called.
            record: what the run is, for JSON; ``record["run"]`` is equal for equal runs.
            restart: discard unfinished work; with ``part`` only that of another run.
            part: name of one of several processes, which share the folder and do not publish.

        Raises:
            OutputError: another writer, unfinished work of another run, a folder that is not ours.
            MismatchError: a half published directory that can be neither finished nor restored.
        """
        run, staging = Run(target, record["run"], record, restart), None
        try:
            # parts may wait for each other, which a signal should end
            held = nullcontext() if part else held_signals()
            with output_errors(target.path), held:
                staging = cls._opened(run, part)
                if not staging.published:
                    target.check()
        except BaseException as error:
            if staging is not None:
                staging.__exit__(type(error), error, error.__traceback__)
            raise
        return staging

    @classmethod
    def _opened(cls, run: Run, part: str | None) -> Staging:
        if settle_beside(run):
            return cls(run, part, Folder(run.target.home, -1), None, [])
        made = make_parents(run.target.home)
        try:
            home = Folder.at(run.target.home)
            try:
                held = open_shared(run, home) if part else open_alone(run, home)
            except BaseException:
                home.close()
                raise
            return cls(run, part, home, held, made)
        except BaseException:
            remove_made(made)
            raise

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give_up(keep=error is None or not of_the_data(error))
        if isinstance(error, KeyboardInterrupt) or (error and self._is_kept):
            error.add_note(self._kept_tasks if isinstance(error, OtherCommand) else self.left)
        if isinstance(error, OSError) and not isinstance(error, AmsError):
            raise as_sentence(error, self.target.path) from None

    @property
    def path(self) -> Path:
        """The staging folder, for messages and for `join`."""
        return self._folder.path

    @property
    def left(self) -> str:
        """What an unfinished run leaves, as a sentence."""
        if self.published:
            return f"{self.target.path} is complete"
        if self._is_half:
            advice = "the same command finishes it or brings back what was there"
            return f"{self.target.path} is half published: {advice}"
        if not self._is_kept:
            return "no unfinished file is left"
        return f"{self._kept_tasks}: the same command continues"

    @property
    def _kept_tasks(self) -> str:
        tasks = "task is" if self._finished == 1 else "tasks are"
        return f"{self._finished} finished {tasks} kept in {self.path}"

    def claim(self) -> ProgressLines:
        """Take the progress file of this process, which `append` does if need be.

        Raises:
            OutputError: another process does this part.
        """
        if self._lines is None:
            sync_job(self._folder)
            self._home.sync()
            self._lines = ProgressLines(self._folder, progress_name(self._part))
        return self._lines

    def append(self, line: dict[str, Any]) -> None:
        """Record a finished task, at once and by threads alike."""
        with self._one_thread:
            self.claim().append(line)
            self._finished += 1

    def read_progress(self) -> list[dict[str, Any]]:
        """Return the finished tasks that any process has recorded, damaged lines left out."""
        return finished_tasks(self._folder) if self._folder.fd >= 0 else []

    def check_space(self, nbytes: int) -> None:
        """Raise `ResourceError` if the disk cannot take files of ``nbytes`` all together."""
        check_space(self.target.home, nbytes - self.allocated_bytes())

    def publish(self) -> None:
        """Give every file its final name; signals wait until that is done.

        Raises:
            OutputError: a file is missing, or a name has been taken meanwhile.
        """
        if self.published:
            return
        with output_errors(self.target.path):
            self._check_complete()
            self._close_lines()
            self._sync_staged()
            names = self.target.names if self.target.in_place else ()
            contents = contents_of(self._directory, names)
            with held_signals():
                self._give_names(contents)
                self.published = True
                self._confirm()
                self._give_up(keep=False)

    def keep(self) -> None:
        """Leave the folder as it is, for the same command to continue."""
        self._give_up(keep=True)

    def discard(self) -> None:
        """Remove the folder and what the run made; what other processes share is kept."""
        self._give_up(keep=False)

    @property
    def _is_kept(self) -> bool:
        return not self.published and self._kept

    def _check_complete(self) -> None:
        if self._part:
            raise OutputError(f"{self.target.path}: a part of a run does not publish")
        if not self._is_here():
            fault = "has been removed or exchanged by another program"
            raise OutputError(f"{self.path} {fault}: run again")
        found, expected = set(self.names()), set(self.target.names)
        if found != expected:
            name = min(found ^ expected)
            fault = "lacks" if name in expected else "holds, besides what the run makes,"
            raise OutputError(f"{self.directory} {fault} {name}: nothing is published")

    def _sync_staged(self) -> None:
        if self.target.is_file:  # the name that it has now is not needed on the disk
            self._directory.sync_file(self.target.path.name)
        else:
            self.sync()
        if self.target.in_place:
            sync_job(self._folder)

    def _give_names(self, contents: Mapping[str, Content]) -> None:
        target = self.target
        if target.is_file:
            if self._finished:  # work that the next run should recognise as done
                self._run.job(inode_of(self._directory, target.path.name)).write(self._folder)
            publish_file(target, self._directory, self._home)
        elif target.in_place:
            publish_in_place(
                target, self._run.id, contents, self._folder, self._directory, self._home
            )
        else:
            publish_directory(target, self._folder, self._home)

    def _confirm(self) -> None:
        """Bring the new names to the disk, those of directories made on the way as well."""
        try:
            self._home.sync()
            sync_names(self._made)
        except OSError as error:
            fault = f"it cannot be written to the disk for good: {error.strerror}"
            raise OutputError(f"{self.target.path} is complete, but {fault}") from None

    def _give_up(self, *, keep: bool) -> None:
        """Close everything; remove the folder unless something in it is worth keeping."""
        if self._home.fd < 0:
            return
        self._close_lines()
        self._directory.close()
        worth = keep and self._finished > 0 and not self.published
        self._kept = self._must_keep() or (worth and self._home.holds(self.target.folder))
        with suppress(OSError):  # what is left is found by the next run
            if not self._kept and self._is_here():
                clear(self._home, self.target.folder, self._folder, self._lock)
        release(self._folder, -1 if self._folder.fd < 0 else self._lock)
        self._home.close()
        if not self._kept and not self.published:
            remove_made(self._made)

    def _is_here(self) -> bool:
        """Whether the folder is still what its name leads to; one that was moved is let alone."""
        if self._folder.fd < 0:
            return False
        return still_here(self._home, self.target.folder, self._folder, self._lock)

    def _must_keep(self) -> bool:
        """Whether others work in the folder, or the old files of a directory lie in it."""
        self._is_half = self.target.in_place and self._home.holds(JOURNAL)
        return self._is_half or (self._part is not None and not self.published)

    def _close_lines(self) -> None:
        if self._lines is not None:
            self._lines.close()
        self._lines = None
