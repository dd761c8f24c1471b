"""How a job is done: by threads of this process, by other processes, or a part of it alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from amssim.checkpoint.jobs.execute import execute
from amssim.checkpoint.jobs.job import Job
from amssim.checkpoint.jobs.parts import JobPart, do_part
from amssim.errors import SchemeError


def way_to_do(
    threads: int | None, workers: int | str | None = None, part: str | None = None
) -> Callable[..., Job]:
    """Return what is called as `execute`; arguments as `quantize_checkpoint`.

    Raises:
        SchemeError: workers or a part that cannot be, or both.
        ResourceError: Dask is not installed.
    """
    if part is not None:
        if workers is not None:
            raise SchemeError("a part is done by one process: give it without workers")
        return partial(do_part, part=JobPart.parse(part))
    if workers is not None:
        from amssim.checkpoint.jobs.distributed import Workers

        return partial(execute, engine=Workers(workers, threads))
    return execute
