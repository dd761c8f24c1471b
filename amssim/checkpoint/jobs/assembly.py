"""The output of a job while it comes together: which tasks are done, and what follows them.

One process holds it, the one that holds the staging folder. An engine does the tasks in ``todo``,
wherever it likes, and gives each result to `Assembly.add`, which returns the work that is now due:
nothing, or to finish a file. That work runs in a `Pool` or by `do_here`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.finishing import WriteHeader
from amssim.checkpoint.jobs.job import Job
from amssim.checkpoint.jobs.pool import Work
from amssim.checkpoint.jobs.shard import Shard
from amssim.checkpoint.jobs.tasks import Task, TaskResult, split
from amssim.progress import Progress, Steps


@dataclass(frozen=True)
class Staged:
    """What staging offers: a file's descriptor, made if need be, its path; a line of progress."""

    open: Callable[[str], int]
    path: Callable[[str], Path]
    append: Callable[[dict[str, Any]], None]


class Assembly:
    """The files of ``job`` in ``staged``, named by ``name_of`` their source's names.

    ``finished`` are results of an earlier run whose bytes have been checked.
    """

    def __init__(
        self,
        job: Job,
        staged: Staged,
        name_of: Callable[[str], str],
        finished: Iterable[TaskResult] = (),
        progress: Progress | None = None,
    ):
        self.job, self.tasks, self._staged = job, split(job), staged
        own = defaultdict(list)
        for task in self.tasks:
            own[task.shard].append(task)
        self.shards = [
            self._shard(number, own[number], name_of(shard.source.path.name))
            for number, shard in enumerate(job.shards)
        ]
        self._steps = Steps(sum(step.before.weight_count for step in job.steps()), progress)
        self._news: deque[Task] = deque()
        known = {result.number: result for result in finished}
        for number, result in known.items():
            self._take(self.tasks[number], result)
        self.todo = [task for task in self.tasks if task.number not in known]
        self.tell()

    def add(self, result: TaskResult) -> list[Work]:
        """Record that a task is done; return the work that is due now."""
        self._staged.append(result.as_dict())
        task = self.tasks[result.number]
        return self._finish(task.shard) if self._take(task, result) else []

    def due(self) -> list[Work]:
        """Return the work that needs no task: of files that have none, or none left to do."""
        left = {task.shard for task in self.todo}
        numbers = [n for n in range(len(self.shards)) if n not in left]
        return [work for number in numbers for work in self._finish(number)]

    def tell(self) -> None:
        """Tell the caller's ``progress`` of what has been added; from one thread."""
        while self._news:
            task = self._news.popleft()
            step = self.job.shards[task.shard].step(task.tensor)
            count = task.weights_of(step.before, as_bytes=step.is_copy)
            self._steps.finished(task.tensor, count)

    def close(self) -> None:
        """Close all files."""
        for shard in self.shards:
            shard.close()

    def _take(self, task: Task, result: TaskResult) -> bool:
        self._news.append(task)
        return self.shards[task.shard].add(result)

    def _finish(self, number: int) -> list[Work]:
        last = self.shards[number].tasks
        return [WriteHeader(self.shards[number], last[-1].number if last else 0)]

    def _shard(self, number: int, tasks: list[Task], name: str) -> Shard:
        staged = self._staged
        return Shard(self.job.shards[number], tasks, lambda: staged.open(name), staged.path(name))


def do_here(works: Iterable[Work]) -> None:
    """Do works and all that they ask for in this thread."""
    room, left = Buffers(), deque(works)
    while left:
        left.extend(left.popleft().run(room))
