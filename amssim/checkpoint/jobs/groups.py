"""Tasks that go to one process together: enough to keep it busy, few enough to do again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from amssim.checkpoint.jobs.tasks import Task

#: Tasks of a group at most, where a shard is cut: about a second of one thread.
MOST_TASKS = 64
#: Groups for each thread, so that none waits long for the last one.
_GROUPS_PER_THREAD = 4


def whole_shards(tasks: Iterable[Task]) -> list[list[Task]]:
    """Return the tasks of each shard."""
    return [list(members) for _, members in groupby(tasks, key=lambda task: task.shard)]


def group_tasks(tasks: Sequence[Task], threads: int, machines: int = 1) -> list[list[Task]]:
    """Return ``tasks`` in groups, each of one shard, in order.

    Several ``machines`` get whole shards where there are enough, so that no two of them write
    neighbouring bytes of a file, which network disks do slowly. Otherwise shards are cut.
    """
    shards = whole_shards(tasks)
    if machines > 1 and len(shards) >= 2 * machines:
        return shards
    size = max(1, min(MOST_TASKS, len(tasks) // (_GROUPS_PER_THREAD * threads)))
    return [shard[i : i + size] for shard in shards for i in range(0, len(shard), size)]


def part_of_tasks(tasks: Sequence[Task], part: int, parts: int) -> list[Task]:
    """Return the tasks of part ``part`` (from 1) of ``parts``: every so manieth group."""
    groups = group_tasks(tasks, threads=parts, machines=parts)
    return [task for group in groups[part - 1 :: parts] for task in group]
