"""What a process elsewhere is told of a job, and how it does tasks of it. Knows no Dask.

An errand holds no plan: whoever gets it plans the job again from the source, and refuses if that
is another job than the sender's. A token, a file of the staging folder that lives as long as the
sender's run, shows that both see one disk, and by its end that nobody waits any longer.
"""

from __future__ import annotations

import json
import socket
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from amssim import __version__
from amssim.checkpoint.jobs.assembly import Assembly
from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.job import Job
from amssim.checkpoint.jobs.pieces import Piece, read_pieces
from amssim.checkpoint.jobs.plan import plan_again
from amssim.checkpoint.jobs.tasks import Task, TaskResult, do_task, split
from amssim.checkpoint.safetensors.header import read_header
from amssim.checkpoint.safetensors.reader import TensorReader
from amssim.checkpoint.safetensors.staged_files import StagedFiles
from amssim.checkpoint.safetensors.writer import ShardFile
from amssim.errors import MismatchError, OutputError, UnsupportedError


class Errand(NamedTuple):
    """A job as a process on any machine can find it; paths are absolute.

    Args:
        run: id of the job.
        source, options: what the job is planned from; options are JSON.
        folder: where the job is staged.
        token: name of a file in it that is there as long as the sender.
        single: name of the staged file if the source is one file, else empty.
        sync: whether a result comes only when its bytes are on the disk.
        version: of the sender's amssim.
    """

    run: str
    source: str
    options: str
    folder: str
    token: str
    single: str = ""
    sync: bool = False
    version: str = __version__

    @property
    def is_wanted(self) -> bool:
        """Whether the sender's run is there, seen from here."""
        return Path(self.folder, self.token).exists()


class Answer(NamedTuple):
    """Results of the first tasks, of all unless the sender has ended; and who did them."""

    machine: str
    results: list[TaskResult]


def not_shared(machine: str, folder: str) -> OutputError:
    """Return the error for a worker that does not see a staging folder."""
    return OutputError(
        f"the worker on {machine} does not see {folder}: source and output must lie on a disk "
        "that all workers share, under the same path"
    )


def check_errand(errand: Errand) -> None:
    """Raise unless this process can do tasks of ``errand``.

    Raises:
        UnsupportedError: another version of amssim.
        OutputError: another disk under the path of the staging folder.
        MismatchError: another source under its path.
    """
    machine = socket.gethostname()
    if errand.version != __version__:
        raise UnsupportedError(
            f"the worker on {machine} has amssim {__version__}, and this is {errand.version}: "
            "install one version everywhere"
        )
    if not errand.is_wanted:
        raise not_shared(machine, errand.folder)
    if json.loads(errand.options).get("on_nan") != "keep":  # with it, planning reads all weights
        _planned(errand)


def do_tasks(errand: Errand, numbers: Sequence[int]) -> Answer:
    """Do the tasks of these numbers, in order, while the sender waits.

    Raises:
        AmsError: as `check_errand`, and what a task raises.
        OSError: what the system says of writing.
    """
    if errand.is_wanted:
        check_errand(errand)
        with StagedFiles.join(errand.folder, errand.run) as files:
            return Answer(socket.gethostname(), list(_results(errand, numbers, files)))
    return Answer(socket.gethostname(), [])


def read_parts(errand: Errand, name: str, parts: Sequence[Piece]) -> list[int]:
    """Return the CRC-32 of pieces of the staged file ``name``, read by way of its header.

    Raises:
        AmsError: a file that cannot be read.
    """
    room = Buffers()
    with (
        StagedFiles.join(errand.folder, errand.run) as files,
        TensorReader(read_header(files.directory / name)) as reader,
    ):
        return [zlib.crc32(read_pieces(reader, [piece], room)[0].data) for piece in parts]


def _results(errand: Errand, numbers: Sequence[int], files: StagedFiles) -> Iterator[TaskResult]:
    job, tasks = _planned(errand)
    for shard, members in groupby((tasks[n] for n in numbers), key=lambda task: task.shard):
        yield from _of_shard(errand, job, shard, members, files)


def _of_shard(
    errand: Errand, job: Job, shard: int, tasks: Iterable[Task], files: StagedFiles
) -> list[TaskResult]:
    own, room, results = job.shards[shard], Buffers(), []
    name = errand.single or own.source.path.name
    path = files.directory / name
    with (
        ShardFile(files.create(name, own.nbytes), path, own.tensors, own.metadata) as file,
        TensorReader(own.source) as reader,
    ):
        for task in tasks:
            if not errand.is_wanted:
                break
            results.append(do_task(own, task, reader, file, room))
        if errand.sync:
            file.sync()
    return results


def errand_of(assembly: Assembly, token: str, *, sync: bool) -> Errand:
    """Return the errand for the job of ``assembly``."""
    job, file = assembly.job, assembly.shards[0].path
    return Errand(
        run=job.run,
        source=str(job.source.path.absolute()),
        options=json.dumps(job.options),
        folder=str(file.parent.parent.absolute()),
        token=token,
        single="" if job.source.is_directory else file.name,
        sync=sync,
    )


@lru_cache(maxsize=1)
def _planned(errand: Errand) -> tuple[Job, list[Task]]:
    """Plan the job as the sender did; `MismatchError` if it is another one here."""
    job = plan_again(errand.source, json.loads(errand.options))
    if job.run != errand.run:
        raise MismatchError(
            f"the worker on {socket.gethostname()} sees another checkpoint under {errand.source}: "
            "source and output must lie on a disk that all workers share, under the same path"
        )
    return job, split(job)
