"""Work that is sent to Dask workers, and recorded as it comes back."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from amssim.checkpoint.jobs.assembly import Assembly
from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.dask_client import Pending, remote_call, result_of
from amssim.checkpoint.jobs.errand import Answer, Errand, do_tasks, not_shared, read_parts
from amssim.checkpoint.jobs.finishing import ReadPart
from amssim.checkpoint.jobs.groups import MOST_TASKS
from amssim.checkpoint.jobs.pool import Work
from amssim.checkpoint.jobs.tasks import Task
from amssim.errors import ResourceError

if TYPE_CHECKING:
    from distributed import Client

_TICK_SECONDS = 1.0


class Sent(Protocol):
    """Something under way: ``number`` orders the errors of several, ``name`` is for sentences."""

    @property
    def number(self) -> int:
        """That of its first task."""

    @property
    def name(self) -> str:
        """What it is."""

    def record(self, answer: Any) -> Iterable[Work]:
        """Record what came back and return the work that is due now."""

    def check(self, answer: Any) -> None:
        """Raise if something is missing."""


@dataclass(frozen=True)
class TaskGroup:
    """Tasks of one shard."""

    assembly: Assembly
    tasks: Sequence[Task]

    @property
    def number(self) -> int:
        """That of the first."""
        return self.tasks[0].number

    @property
    def name(self) -> str:
        """The shard and the first tensor."""
        shard = self.assembly.shards[self.tasks[0].shard].path.name
        return f"{len(self.tasks)} tasks of {shard}, from {self.tasks[0].tensor!r} on"

    def call(self, errand: Errand) -> bytes:
        """Return what a worker does."""
        return remote_call(do_tasks, errand, [task.number for task in self.tasks])

    def record(self, answer: Answer) -> Iterable[Work]:
        """Record the results."""
        return [work for result in answer.results for work in self.assembly.add(result)]

    def check(self, answer: Answer) -> None:
        """Raise `OutputError` if the worker stopped before the last task."""
        if len(answer.results) < len(self.tasks):
            raise not_shared(answer.machine, str(self.assembly.shards[0].path.parent))


@dataclass(frozen=True)
class ReadGroup:
    """Parts of one finished file that are read back elsewhere."""

    parts: Sequence[ReadPart]

    @property
    def number(self) -> int:
        """That of the file's last task."""
        return self.parts[0].number

    @property
    def name(self) -> str:
        """The file."""
        return f"reading back {self.parts[0].back.shard.path.name}"

    def call(self, errand: Errand) -> bytes:
        """Return what a worker does."""
        back = self.parts[0].back
        pieces = [back.parts[part.at] for part in self.parts]
        return remote_call(read_parts, errand, back.shard.path.name, pieces)

    def record(self, answer: Sequence[int]) -> Iterable[Work]:
        """Compare the checksums of the file once all are there."""
        pairs = zip(self.parts, answer, strict=True)
        return [w for part, crc in pairs if part.back.add(part.at, crc) for w in part.back.finish()]

    def check(self, answer: Sequence[int]) -> None:
        """Nothing can be missing."""


def read_groups(parts: Iterable[ReadPart]) -> Iterator[ReadGroup]:
    """Yield the parts in groups, each of one file; they come file by file."""
    for _, own in groupby(parts, key=lambda part: id(part.back)):
        members = list(own)
        for start in range(0, len(members), MOST_TASKS):
            yield ReadGroup(members[start : start + MOST_TASKS])


@dataclass(frozen=True)
class _DiskWork:
    """What a thread of this process waits for."""

    number: int
    name: str = "writing to the disk"

    def record(self, answer: Iterable[Work]) -> Iterable[Work]:
        return answer

    def check(self, answer: object) -> None:
        pass


class Dispatch:
    """Sends work for ``errand`` and records it in ``assembly``.

    ``check`` is called now and then while nothing comes back, and raises if nothing will.
    """

    def __init__(
        self, assembly: Assembly, client: Client, errand: Errand, check: Callable[[], None]
    ):
        self._assembly, self._client, self._errand, self._check = assembly, client, errand, check
        self._back: SimpleQueue[Any] = SimpleQueue()
        self._under_way: dict[Any, Sent] = {}
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="amssim-disk")
        self._faults: list[tuple[int, Exception]] = []
        self._room, self._count = Buffers(), 0

    def send(self, groups: Sequence[TaskGroup | ReadGroup]) -> None:
        """Send groups to whichever workers are free."""
        calls = [group.call(self._errand) for group in groups]
        keys = [f"{self._errand.token}-{self._count + i}" for i in range(len(groups))]
        self._count += len(groups)
        # pure=False: of two equal calls only one is made, but these are made for what they write
        futures = self._client.map(pickle.loads, calls, key=keys, pure=False)
        for future, group in zip(futures, groups, strict=True):
            self._watch(future, group)

    def follow(self, works: Iterable[Work]) -> None:
        """Do what is due: little things here, waiting for the disk beside, reading back there."""
        left, parts = deque(works), []
        while left:
            work = left.popleft()
            if isinstance(work, ReadPart):
                parts.append(work)
            elif work.waits:
                self._watch(self._disk.submit(work.run, self._room), _DiskWork(work.number))
            else:
                left.extend(work.run(self._room))
        self.send(list(read_groups(parts)))

    def collect(self, end: Callable[[], None], patience: float) -> None:
        """Record everything that comes back until nothing is under way.

        At an error or interrupt, ``end`` is called, which lets workers stop after the tasks at
        hand; what these still return within ``patience`` seconds is recorded, so that it need not
        be done again. Of several errors the one of the first task is raised.
        """
        try:
            while self._under_way and not self._faults:
                if not self._take(_TICK_SECONDS, follow=True):
                    self._check()
        finally:
            self._disk.shutdown(wait=False, cancel_futures=True)
            end()
            with suppress(ResourceError):  # nobody is left who could answer
                self._drain(monotonic() + patience)
        if self._faults:
            raise min(self._faults, key=lambda fault: fault[0])[1] from None

    def _drain(self, until: float) -> None:
        while self._under_way and monotonic() < until:
            if not self._take(min(_TICK_SECONDS, until - monotonic()), follow=False):
                self._check()

    def _take(self, seconds: float, *, follow: bool) -> bool:
        """Record what comes back next, if anything does; an error of it is kept."""
        try:
            future = self._back.get(timeout=max(0.0, seconds))
        except Empty:
            return False
        sent = self._under_way.pop(future)
        try:
            answer = result_of(future, sent.name)
            works = sent.record(answer)
            if follow:
                sent.check(answer)
                self.follow(works)
        except Pending:
            self._watch(future, sent)
            return False
        except Exception as fault:
            self._faults.append((sent.number, fault))
        self._assembly.tell()
        return True

    def _watch(self, future: Any, sent: Sent) -> None:
        self._under_way[future] = sent
        future.add_done_callback(self._back.put)
