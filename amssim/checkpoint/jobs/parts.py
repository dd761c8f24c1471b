"""A job in parts, for batch systems: each does every so manieth group of tasks, and one finishes.

Parts know nothing of each other: which tasks are one's follows from the job and the number of
parts. They share the staging folder, each with progress lines of its own.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from amssim._threads import thread_count
from amssim.checkpoint.jobs.assembly import Assembly
from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.engine import DoTask
from amssim.checkpoint.jobs.execute import assemble, target_of
from amssim.checkpoint.jobs.groups import part_of_tasks
from amssim.checkpoint.jobs.job import Job
from amssim.checkpoint.jobs.pieces import weights_of
from amssim.checkpoint.jobs.pool import Pool, Work
from amssim.checkpoint.jobs.resume import resume
from amssim.checkpoint.jobs.tasks import Task
from amssim.checkpoint.safetensors.output_errors import OtherCommand
from amssim.checkpoint.safetensors.staging import Staging
from amssim.errors import SchemeError
from amssim.progress import Progress, Steps

_PROGRESS = re.compile(r"progress-(\d+)-of-(\d+)\.jsonl")
_TEXT = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})")


class JobPart(NamedTuple):
    """Part ``number``, from 1 on, of so many ``parts``."""

    number: int
    parts: int

    @classmethod
    def parse(cls, text: str) -> JobPart:
        """Read ``I/N``; `SchemeError` for anything else.

        >>> JobPart.parse("2/7")
        JobPart(number=2, parts=7)
        """
        match = _TEXT.fullmatch(text) if isinstance(text, str) else None
        part = cls(*map(int, match.groups())) if match else None
        if part is None or part.number > part.parts:
            raise SchemeError(f"part must read I/N, such as 1/8 to 8/8, found {text!r}")
        return part

    @property
    def name(self) -> str:
        """What its progress lines are called by."""
        return f"{self.number}-of-{self.parts}"

    def __str__(self) -> str:
        return f"{self.number}/{self.parts}"


def do_part(
    job: Job,
    dst: str | Path,
    *,
    part: JobPart,
    overwrite: bool = False,
    restart: bool = False,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> Job:
    """Do a part of ``job`` and publish nothing; return the job with what had been done before.

    Raises:
        OutputError: parts of another number are there, or another process does this one.
        AmsError: as `amssim.checkpoint.jobs.execute.execute`.
    """
    target = target_of(job, dst, overwrite=overwrite)
    record = job.record | {"overwrite": overwrite}
    with Staging.open(target, record, restart=restart, part=part.name) as staging:
        if staging.published:  # by a run that was killed only after that
            return job
        _check_count(staging, part)
        staging.claim()
        staging.check_space(job.output_bytes)
        assembly, threads = assemble(job, staging), thread_count(job.threads)
        with closing(assembly):
            own = part_of_tasks(assembly.tasks, part.number, part.parts)
            numbers = {task.number for task in own}
            lines = [line for line in staging.read_progress() if line.get("number") in numbers]
            resumed = resume(assembly, lines, threads)
            if resumed and tell:
                tell(f"continuing: {resumed.tasks} of {len(own)} tasks of part {part} are there")
            _do_tasks(assembly, own, threads, progress)
    return replace(job, resumed=resumed)


def _do_tasks(assembly: Assembly, own: list[Task], threads: int, progress: Progress | None) -> None:
    """Do those of one's own tasks that are not done."""
    weights = {task.number: _weights(assembly, task) for task in own}
    left = {task.number for task in assembly.todo} & weights.keys()
    steps, news = Steps(sum(weights.values()), progress), deque[Task]()
    steps.done = sum(weights[number] for number in weights.keys() - left)

    def report() -> None:
        while news:
            task = news.popleft()
            steps.finished(task.tensor, weights[task.number])

    works = [_OnlyTask(assembly, task, news) for task in own if task.number in left]
    Pool(works, threads, report).run()


@dataclass
class _OnlyTask:
    """A task after which nothing is due: finishing files is left to `finish_checkpoint`."""

    assembly: Assembly
    task: Task
    news: deque[Task]
    waits: bool = False

    @property
    def number(self) -> int:
        return self.task.number

    def run(self, room: Buffers) -> Iterable[Work]:
        DoTask(self.assembly, self.task).run(room)
        self.news.append(self.task)
        return []


def _weights(assembly: Assembly, task: Task) -> int:
    step = assembly.job.shards[task.shard].step(task.tensor)
    return weights_of(step.before, task.start, task.stop, as_bytes=step.is_copy)


def counts_of_parts(folder: Path) -> set[int]:
    """Return of how many parts a staging folder holds progress lines; usually of one number."""
    matches = (_PROGRESS.fullmatch(path.name) for path in folder.iterdir())
    return {int(match[2]) for match in matches if match}


def _check_count(staging: Staging, part: JobPart) -> None:
    others = counts_of_parts(staging.path) - {part.parts}
    if others:
        raise OtherCommand(
            f"{staging.path} holds work done in {min(others)} parts, not {part.parts}: give "
            f"--part I/{min(others)}, or the command without --part, which does what is missing"
        )
