"""Files of a checkpoint that hold no tensors: index, config.json, and those that are copied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.job import Job
from amssim.checkpoint.jobs.pool import Work
from amssim.checkpoint.safetensors.descriptor import changed
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
    """Yield a file of the source; `MismatchError` if it is not the one that was planned with."""
    digest = sha256()
    with job.source.open(name) as file:
        for piece in file.chunks(0, file.stamp.size):
            digest.update(piece)
            yield piece
        file.check_unchanged()
        if digest.hexdigest() != job.source_digests.get(name):
            raise changed(file.path)
