"""What an earlier run of the same job has left: recorded tasks whose bytes are as recorded."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from amssim.checkpoint.jobs.assembly import Assembly
from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.job import Resumed
from amssim.checkpoint.jobs.pool import Pool, Work
from amssim.checkpoint.jobs.tasks import TaskResult, source_pieces, target_pieces


def resume(assembly: Assembly, lines: Iterable[dict[str, Any]], threads: int) -> Resumed | None:
    """Give ``assembly`` the finished tasks that ``lines`` record; None if there are none.

    The bytes of each are read and compared with their checksums; what differs is done again.
    """
    found = {result.number: result for line in lines if (result := _result(assembly, line))}
    works = [_Check(assembly, found[number]) for number in sorted(found)]
    Pool(works, threads, lambda: None).run()
    for shard in assembly.shards:
        shard.close()
    done = len(assembly.tasks) - len(assembly.todo)
    whole = sum(bool(shard.tasks) and shard.is_complete for shard in assembly.shards)
    files = sum(bool(shard.tasks) for shard in assembly.shards)
    return Resumed(done, len(assembly.tasks), whole, files) if done else None


@dataclass(frozen=True)
class _Check:
    assembly: Assembly
    result: TaskResult
    waits: bool = False

    @property
    def number(self) -> int:
        return self.result.number

    def run(self, room: Buffers) -> Iterable[Work]:
        task = self.assembly.tasks[self.result.number]
        shard = self.assembly.shards[task.shard]
        pieces = target_pieces(shard.job, task)
        for (name, start, stop), crc in zip(pieces, self.result.crcs, strict=True):
            raw = room.array("read", stop - start)
            shard.file.read(name, start, raw.data)
            if zlib.crc32(raw.data) != crc:
                return []
        self.assembly.accept(self.result)
        return []


def _result(assembly: Assembly, line: dict[str, Any]) -> TaskResult | None:
    """Return the result that a line records, None for a line that no task of this job has."""
    try:
        number, crcs, source_crcs = line["number"], line["crcs"], line["source_crcs"]
        if not _are_natural(number, *crcs, *source_crcs):
            return None
        task = assembly.tasks[number]
        job = assembly.shards[task.shard].job
        expected = source_pieces(job, task) if job.source_sums else []
        fits = (
            task.number == number
            and len(crcs) == len(target_pieces(job, task))
            and len(source_crcs) == len(expected)
        )
        return TaskResult(number, tuple(crcs), tuple(source_crcs)) if fits else None
    except (KeyError, TypeError, IndexError):
        return None


def _are_natural(*values: object) -> bool:
    return all(type(value) is int and 0 <= value < 2**32 for value in values)
