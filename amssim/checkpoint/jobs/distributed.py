"""The engine for many processes and machines: Dask runs the tasks of a job.

Tasks go to workers in groups, write straight into the staged files, and return checksums, which
this process records as any engine does; so a run that ends early is continued like any other.
A worker that dies costs its groups in hand: Dask gives them to others, and doing a task again
writes the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from amssim._threads import available_cpus, thread_count
from amssim._whole import is_positive_whole
from amssim.checkpoint.jobs.assembly import Assembly
from amssim.checkpoint.jobs.dask_client import (
    check_address,
    check_installed,
    connected,
    quiet,
    run_everywhere,
    threads_of,
    wait_for_worker,
)
from amssim.checkpoint.jobs.dispatch import Dispatch, TaskGroup
from amssim.checkpoint.jobs.errand import check_errand, errand_of
from amssim.checkpoint.jobs.groups import group_tasks
from amssim.checkpoint.safetensors.folder import Folder
from amssim.checkpoint.safetensors.token import Token
from amssim.errors import ResourceError, SchemeError

if TYPE_CHECKING:
    from distributed import Client

#: How long the tasks in hand may take when a run ends early, and how long workers may be away.
_PATIENCE_SECONDS = 10.0
_ABSENT_SECONDS = 30.0


@dataclass(frozen=True)
class Workers:
    """An engine of ``who``: so many processes of this machine, or those of a scheduler's address.

    ``threads`` are those of each process here; None shares out the processors.

    Raises:
        SchemeError: no positive number and no address.
        ResourceError: Dask is not installed.
    """

    who: int | str
    threads: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.who, str):
            check_address(self.who)
        elif not is_positive_whole(self.who):
            raise SchemeError(
                "workers must be a positive whole number, or a scheduler's address, found "
                f"{self.who!r}"
            )
        check_installed()

    def __call__(self, assembly: Assembly, threads: int) -> None:
        """Do all tasks and finish all files.

        Raises:
            AmsError: what a task raises; `ResourceError` for a cluster that cannot be used.
        """
        folder = Folder.at(assembly.shards[0].path.parent.parent)
        with quiet(), closing(folder), closing(Token(folder)) as token:
            errand = errand_of(assembly, token.name, sync=isinstance(self.who, str))
            with _cluster(self) as (client, check):
                there = wait_for_worker(client, check)
                run_everywhere(client, check_errand, errand)
                machines = {urlsplit(address).hostname for address in there}
                groups = group_tasks(assembly.todo, sum(there.values()), len(machines))
                dispatch = Dispatch(assembly, client, errand, check)
                dispatch.send([TaskGroup(assembly, group) for group in groups])
                dispatch.follow(assembly.due())
                dispatch.collect(token.close, _PATIENCE_SECONDS)


class _Cluster(NamedTuple):
    """A connection, and what raises `ResourceError` once no worker is left."""

    client: Client
    check: Callable[[], None]


@contextmanager
def _cluster(workers: Workers) -> Iterator[_Cluster]:
    if isinstance(workers.who, str):
        with connected(workers.who) as client:
            yield _Cluster(client, _Presence(client, workers.who).check)
        return
    from amssim.checkpoint.jobs.local_workers import local_workers

    count = int(workers.who)
    threads = workers.threads or max(1, available_cpus() // count)
    with (
        local_workers(count, thread_count(threads)) as (address, processes),
        connected(address) as client,
    ):
        yield _Cluster(client, processes.check)


class _Presence:
    """Whether a scheduler has had workers of late."""

    def __init__(self, client: Client, address: str):
        self._client, self._address, self._seen = client, address, time.monotonic()

    def check(self) -> None:
        """Raise `ResourceError` if there has been none for a while."""
        if threads_of(self._client):
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > _ABSENT_SECONDS:
            raise ResourceError(
                f"the scheduler at {self._address} has had no workers for "
                f"{_ABSENT_SECONDS:.0f} seconds: start some by 'dask worker {self._address}' and "
                "give the same command again, which continues"
            )
