"""The output of a job while it comes together: which tasks are done, and what follows them.

One process holds it, the one that holds the staging folder. An engine does the tasks in ``todo``,
wherever it likes, and gives each result to `Assembly.add`, which returns the work that is now due:
nothing, or to finish a file. That work runs in a `Pool` or by `do_here`.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.finishing import WriteHeader
from amssim.checkpoint.jobs.job import Job
from amssim.checkpoint.jobs.pieces import weights_of
from amssim.checkpoint.jobs.pool import Work
from amssim.checkpoint.jobs.shard import Shard
from amssim.checkpoint.jobs.tasks import Task, TaskResult, split
from amssim.progress import Progress, Steps


@dataclass(frozen=True)
class Staged:
    """What staging offers: a file's descriptor, made if need be, its path; a line of progress."""

    open: Callable[[str, int], int]
    path: Callable[[str], Path]
    append: Callable[[dict[str, Any]], None]


class Assembly:
    """The files of ``job`` in ``staged``, named by ``name_of`` their source's names.

    ``beside`` is work that belongs to no shard; it needs no task and waits for nothing.
    """

    def __init__(
        self,
        job: Job,
        staged: Staged,
        name_of: Callable[[str], str],
        beside: Iterable[Work] = (),
        progress: Progress | None = None,
    ):
        self.job, self.tasks, self._staged, self._beside = job, split(job), staged, list(beside)
        own = defaultdict(list)
        for task in self.tasks:
            own[task.shard].append(task)
        self.shards = [
            self._shard(number, own[number], name_of(shard.source.path.name))
            for number, shard in enumerate(job.shards)
        ]
        self._steps = Steps(sum(step.before.weight_count for step in job.steps()), progress)
        self._news: deque[Task] = deque()
        self._lock = threading.Lock()

    @property
    def todo(self) -> list[Task]:
        """Tasks that are not done, in order."""
        return [task for shard in self.shards for task in shard.todo()]

    def accept(self, result: TaskResult) -> bool:
        """Take the result of a task that is recorded already; whether its file lacks none now."""
        task = self.tasks[result.number]
        self._news.append(task)
        return self.shards[task.shard].add(result)

    def add(self, result: TaskResult) -> list[Work]:
        """Record that a task is done; return the work that is due now."""
        with self._lock:
            self._staged.append(result.as_dict())
        return self._finish(self.tasks[result.number].shard) if self.accept(result) else []

    def due(self) -> list[Work]:
        """Return the work that waits for no task: of files that have none left, and others."""
        complete = [n for n, shard in enumerate(self.shards) if shard.is_complete]
        return self._beside + [work for number in complete for work in self._finish(number)]

    def tell(self) -> None:
        """Tell the caller's ``progress`` of what has been added; from one thread."""
        while self._news:
            task = self._news.popleft()
            step = self.job.shards[task.shard].step(task.tensor)
            count = weights_of(step.before, task.start, task.stop, as_bytes=step.is_copy)
            self._steps.finished(task.tensor, count)

    def close(self) -> None:
        """Close all files."""
        for shard in self.shards:
            shard.close()

    def _finish(self, number: int) -> list[Work]:
        last = self.shards[number].tasks
        return [WriteHeader(self.shards[number], last[-1].number if last else 0)]

    def _shard(self, number: int, tasks: list[Task], name: str) -> Shard:
        staged = self._staged
        return Shard(self.job.shards[number], tasks, partial(staged.open, name), staged.path(name))


def do_here(works: Iterable[Work]) -> None:
    """Do works and all that they ask for in this thread."""
    room, left = Buffers(), deque(works)
    while left:
        left.extend(left.popleft().run(room))
