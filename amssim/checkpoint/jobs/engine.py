"""The engine for one machine: threads, each a whole task at a time.

So reading, rounding and writing of different tasks overlap, and no thread waits for another.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from amssim.checkpoint.jobs.assembly import Assembly
from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.pool import Pool, Work
from amssim.checkpoint.jobs.tasks import Task, do_task


@dataclass
class DoTask:
    """One task of a job."""

    assembly: Assembly
    task: Task
    waits: bool = False

    @property
    def number(self) -> int:
        """That of the task."""
        return self.task.number

    def run(self, room: Buffers) -> Iterable[Work]:
        """Do it and record it."""
        shard = self.assembly.shards[self.task.shard]
        result = do_task(shard.job, self.task, shard.reader, shard.file, room)
        return self.assembly.add(result)


def run_threads(assembly: Assembly, threads: int) -> None:
    """Do all tasks and finish all files; errors as `do_task` and `Pool.run`."""
    works: Iterable[Work] = chain(
        assembly.due(), (DoTask(assembly, task) for task in assembly.todo)
    )
    Pool(works, threads, assembly.tell).run()
