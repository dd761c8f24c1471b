"""One file of a job while its tasks are done, and what follows the last of them.

Then its checksums are put together, its header is written, and it is read back by the reader that
everybody uses before it goes to the disk.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import reduce
from pathlib import Path

from amssim.checkpoint.jobs.job import ShardJob
from amssim.checkpoint.jobs.pieces import Piece
from amssim.checkpoint.jobs.tasks import Task, TaskResult, source_pieces, target_pieces
from amssim.checkpoint.packed.manifest import crc_text
from amssim.checkpoint.packed.sums import check_sum
from amssim.checkpoint.safetensors.checksum import combine
from amssim.checkpoint.safetensors.descriptor import OpenFile
from amssim.checkpoint.safetensors.header import header_of
from amssim.checkpoint.safetensors.reader import TensorReader
from amssim.checkpoint.safetensors.writer import ShardFile
from amssim.errors import InputError, OutputError


class Shard:
    """The file that ``job`` makes, of ``tasks``; ``make`` opens it for writing, at a size.

    Files are open from the first task to the last, and shared by all threads.
    """

    def __init__(self, job: ShardJob, tasks: list[Task], make: Callable[[int], int], path: Path):
        self.job, self.tasks, self.path = job, tasks, path
        self.crcs: dict[str, int] = {}
        self._make, self._lock = make, threading.Lock()
        self._results: dict[int, TaskResult] = {}
        self._file: ShardFile | None = None
        self._reader: TensorReader | None = None

    @property
    def file(self) -> ShardFile:
        """The file being written."""
        with self._lock:
            if self._file is None:
                job = self.job
                self._file = ShardFile(self._make(job.nbytes), self.path, job.tensors, job.metadata)
            return self._file

    @property
    def reader(self) -> TensorReader:
        """The source."""
        with self._lock:
            if self._reader is None:
                self._reader = TensorReader(self.job.source)
            return self._reader

    def add(self, result: TaskResult) -> bool:
        """Take a task's result; whether it was the last that was missing."""
        with self._lock:
            new = result.number not in self._results
            self._results[result.number] = result
            return new and len(self._results) == len(self.tasks)

    def todo(self) -> list[Task]:
        """Return the tasks that are not done, in order."""
        return [task for task in self.tasks if task.number not in self._results]

    @property
    def is_complete(self) -> bool:
        """Whether all tasks are done."""
        return len(self._results) == len(self.tasks)

    def write_header(self) -> None:
        """Put checksums together, compare those of the source, and write the header.

        Raises:
            MismatchError: the source is not what its checksums say, or has changed.
        """
        self._check_source()
        written = combined(
            (target_pieces(self.job, t), self._results[t.number].crcs) for t in self.tasks
        )
        self.crcs = {info.name: 0 for info in self.job.tensors if not info.nbytes} | written
        self.file.write_header(self.crcs)

    def check_header(self) -> TensorReader:
        """Return a reader of the file, by way of its header as anybody reads it.

        Raises:
            OutputError: another header than was written, or no file any more.
        """
        try:
            with OpenFile(self.path) as file:
                header = header_of(file)
        except InputError as error:
            raise OutputError(f"{error}: is another program at work there?") from None
        if list(header.tensors.values()) != self.job.tensors:
            raise OutputError(f"{self.path} reads back other tensors than were written: run again")
        return TensorReader(header)

    def check_content(self, found: Iterable[tuple[list[Piece], tuple[int, ...]]]) -> None:
        """Compare checksums of what was read back; `OutputError` where they differ."""
        for name, crc in combined(found).items():
            if crc != self.crcs[name]:
                raise OutputError(
                    f"{self.path}: tensor {name!r} reads back with checksum {crc_text(crc)}, but "
                    f"{crc_text(self.crcs[name])} was written: the disk or memory is at fault"
                )

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            file, reader, self._file, self._reader = self._file, self._reader, None, None
        if file:
            file.close()
        if reader:
            reader.close()

    def _check_source(self) -> None:
        self.reader.check_unchanged()
        sums = self.job.source_sums
        if not sums:
            return
        read = (
            (source_pieces(self.job, t), self._results[t.number].source_crcs) for t in self.tasks
        )
        found = combined(read)
        for name, expected in sums.items():  # what is empty has no pieces, and the sum 0
            check_sum(self.job.source.path, name, found.get(name, 0), expected)


def combined(parts: Iterable[tuple[list[Piece], tuple[int, ...]]]) -> dict[str, int]:
    """Return the checksum of each tensor from those of its pieces, first to last."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for own, crcs in parts:
        for piece, crc in zip(own, crcs, strict=True):
            found[piece.name].append((crc, piece.stop - piece.start))
    return {name: reduce(_join, parts)[0] for name, parts in found.items()}


def _join(first: tuple[int, int], second: tuple[int, int]) -> tuple[int, int]:
    return combine(first[0], second[0], second[1]), first[1] + second[1]
