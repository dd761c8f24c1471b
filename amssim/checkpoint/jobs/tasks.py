"""The tasks of a job: the smallest parts that are done, recorded and done again on their own.

A task is some rows of one tensor, or some bytes of one that is copied. Its numbers and its bytes
depend on the job alone: not on who does it, when, in which order or how often. So any engine may
run tasks, in any processes that see source and staging folder, like this:

    tasks = split(job)                                  # numbered from 0, shard by shard
    with open_shard(shard, path_of_the_staged_file) as (reader, file):
        result = do_task(shard, task, reader, file)     # small, picklable: checksums
    assembly.add(result)                                # in the process that holds the staging

where ``shard`` is ``job.shards[task.shard]``. `ShardJob` and `Task` can be pickled; reader and
file can not, but serve all threads of a process. `do_task` uses one thread. What becomes of the
results is said in `amssim.checkpoint.jobs.assembly`.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.convert import convert
from amssim.checkpoint.jobs.job import Job, ShardJob
from amssim.checkpoint.jobs.pieces import Piece, pieces_of, ranges, read_pieces
from amssim.checkpoint.safetensors.reader import TensorReader
from amssim.checkpoint.safetensors.writer import ShardFile, as_bytes


class Task(NamedTuple):
    """Rows ``start`` to ``stop`` of a tensor, or bytes of one that is copied.

    The matrices of a 3-D tensor count as stacked. ``number`` is its place among all tasks of the
    job, ``shard`` that of its file.
    """

    number: int
    shard: int
    tensor: str
    start: int
    stop: int


class TaskResult(NamedTuple):
    """CRC-32 of every piece that a task wrote, and of every one it read where sums are known."""

    number: int
    crcs: tuple[int, ...]
    source_crcs: tuple[int, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return self._asdict()


def split(job: Job) -> list[Task]:
    """Return the tasks of a job in order: shard by shard, tensors by name, from the first row."""
    tasks: list[Task] = []
    for index, shard in enumerate(job.shards):
        for step in shard.steps:
            for start, stop in ranges(step.before, as_bytes=step.is_copy):
                tasks.append(Task(len(tasks), index, step.before.name, start, stop))
    return tasks


def target_pieces(shard: ShardJob, task: Task) -> list[Piece]:
    """Return what a task writes, in the order of its checksums."""
    step = shard.step(task.tensor)
    return pieces_of(step.after, task.start, task.stop, as_bytes=step.is_copy)


def source_pieces(shard: ShardJob, task: Task) -> list[Piece]:
    """Return what a task reads."""
    step = shard.step(task.tensor)
    return pieces_of(step.before, task.start, task.stop, as_bytes=step.is_copy)


def do_task(
    shard: ShardJob,
    task: Task,
    reader: TensorReader,
    file: ShardFile,
    room: Buffers | None = None,
) -> TaskResult:
    """Read, convert and write what ``task`` is of ``shard``; may be done again.

    Args:
        reader, file: of this shard, as `open_shard` opens them.
        room: memory that one thread uses for one task after another.

    Raises:
        InputError: weights that cannot be quantised, or do not fit the new dtype.
        FormatError: a damaged source.
        MismatchError: the source changed since the job was planned.
        OSError: the file cannot be written.
    """
    room, step = room or Buffers(), shard.step(task.tensor)
    read = read_pieces(reader, source_pieces(shard, task), room)
    source_crcs = tuple(zlib.crc32(raw.data) for raw in read) if shard.source_sums else ()
    made = convert(step, task.start, read, reader, room)
    crcs = []
    for piece, data in zip(target_pieces(shard, task), made, strict=True):
        raw = as_bytes(data)
        crcs.append(zlib.crc32(raw))
        file.write(piece.name, piece.start, raw)
    reader.check_stamps()
    return TaskResult(task.number, tuple(crcs), source_crcs)


@contextmanager
def open_shard(shard: ShardJob, path: Path) -> Iterator[tuple[TensorReader, ShardFile]]:
    """Open source and staged file of a shard, for any number of its tasks in any threads.

    Raises:
        MismatchError: the source changed since the job was planned.
        OSError: no file at ``path``, which staging has to make first.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    with (
        ShardFile(descriptor, path, shard.tensors, shard.metadata) as file,
        TensorReader(shard.source) as reader,
    ):
        yield reader, file
