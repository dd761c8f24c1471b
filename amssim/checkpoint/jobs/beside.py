"""Files of a checkpoint that hold no tensors: index, config.json, and those that are copied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.job import Job
from amssim.checkpoint.jobs.pool import Work
from amssim.checkpoint.safetensors.staging import Staging


def beside(job: Job, staging: Staging) -> list[Work]:
    """Return the work that writes them."""
    copied, _ = job.source.other_files()
    contents: dict[str, Callable[[], Iterable[bytes]]] = {
        name: partial(_copied, job, name) for name in copied
    }
    for name, content in job.documents.items():
        contents[name] = partial(iter, [content])
    return [_Write(staging, name, content) for name, content in contents.items()]


@dataclass(frozen=True)
class _Write:
    staging: Staging
    name: str
    content: Callable[[], Iterable[bytes]]
    number: int = 0
    waits: bool = True

    def run(self, room: Buffers) -> Iterable[Work]:
        self.staging.write(self.name, self.content())
        return []


def _copied(job: Job, name: str) -> Iterator[bytes]:
    with job.source.open(name) as file:
        yield from file.chunks(0, file.stamp.size)
        file.check_unchanged()
