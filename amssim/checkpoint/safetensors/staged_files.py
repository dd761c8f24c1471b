"""The files of a staging folder: made, filled and read by any process of a run, in any order."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from types import TracebackType

from amssim.checkpoint.safetensors.folder import Folder, check_plain
from amssim.checkpoint.safetensors.folder_lock import FILES, open_own_folder
from amssim.checkpoint.safetensors.job_file import JobFile
from amssim.checkpoint.safetensors.output_errors import output_errors
from amssim.errors import InputError, OutputError


class StagedFiles:
    """Only ``expected`` names can be made. Files are reached by descriptor, never through links."""

    def __init__(self, directory: Folder, expected: Collection[str]):
        self._directory = directory
        self._expected = frozenset(expected)

    @classmethod
    def join(cls, path: str | Path, run: str) -> StagedFiles:
        """Open the files of the staging folder ``path``, which another process holds for ``run``.

        Raises:
            OutputError: no staging folder of that run.
        """
        path = Path(path)
        with output_errors(path):
            home = Folder.at(path.parent)
            try:
                folder = open_own_folder(home, path.name)
            finally:
                home.close()
            try:
                job = JobFile.read(folder)
                if job is None or job.run != run:
                    raise OutputError(
                        f"{path} is not the staging folder of run {run}: does every worker see "
                        "the same disk?"
                    )
                return StagedFiles(folder.sub(FILES), job.files)
            finally:
                folder.close()

    def __enter__(self) -> StagedFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._directory.close()

    @property
    def directory(self) -> Path:
        """Where the files lie, for those who read them back by path."""
        return self._directory.path

    def create(self, name: str, size: int | None = None) -> int:
        """Return a descriptor for reading and writing of a file, of ``size`` bytes if given.

        The file is made, or it is the one that is there, which keeps its bytes. Its mode is that
        of any new file.
        """
        self._check(name)
        descriptor = self._directory.open_file(name, os.O_RDWR | os.O_CREAT)
        try:
            if size is not None and os.fstat(descriptor).st_size != size:
                os.ftruncate(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def reopen(self, name: str) -> int:
        """Return a descriptor for reading and writing of a file that is there."""
        self._check(name)
        return self._directory.open_file(name, os.O_RDWR)

    def write(self, name: str, content: Iterable[bytes]) -> None:
        """Make a file of ``content`` anew, synchronised to the disk."""
        self._check(name)
        self._directory.remove(name)
        self._directory.write(name, content)

    def remove(self, name: str) -> None:
        """Remove a file; harmless where nothing is."""
        self._check(name)
        self._directory.remove(name)

    def names(self) -> list[str]:
        """Names of the files that are there, sorted."""
        return self._directory.names()

    def sync(self) -> None:
        """Bring every file and the names to the disk; nothing happens where they are."""
        for name in self.names():
            self._directory.sync_file(name)
        self._directory.sync()

    def allocated_bytes(self) -> int:
        """Bytes of the disk that the files take already."""
        found = (self._directory.status(name) for name in self.names())
        return sum(min(s.st_size, 512 * s.st_blocks) for s in found if s)

    def _check(self, name: str) -> None:
        if check_plain(name) not in self._expected:
            raise InputError(f"{name!r} is not among the files of this run")
