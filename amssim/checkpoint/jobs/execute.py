"""Doing a job from its plan to published files, by whatever engine does the tasks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from amssim._text import is_unicode
from amssim._threads import thread_count
from amssim.checkpoint.jobs.assembly import Assembly, Staged
from amssim.checkpoint.jobs.beside import beside
from amssim.checkpoint.jobs.engine import run_threads
from amssim.checkpoint.jobs.job import Job
from amssim.checkpoint.jobs.resume import resume
from amssim.checkpoint.jobs.sealing import seal_set
from amssim.checkpoint.packed.catalog import read_catalog
from amssim.checkpoint.packed.seal import SEAL_NAME
from amssim.checkpoint.safetensors.staging import Staging
from amssim.checkpoint.safetensors.target import Target, checkpoint_target
from amssim.errors import InputError
from amssim.progress import Progress

#: Does the tasks of an assembly and finishes its files, on so many threads.
Engine = Callable[[Assembly, int], None]


def execute(
    job: Job,
    dst: str | Path,
    *,
    overwrite: bool = False,
    restart: bool = False,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
    engine: Engine | None = None,
) -> Job:
    """Do ``job``: write the checkpoint to ``dst``, continuing what an earlier run has left.

    Returns the job with what had been done before. ``tell`` is given a sentence about that.

    Raises:
        AmsError: as `quantize_checkpoint`.
    """
    target = target_of(job, dst, overwrite=overwrite)
    with Staging.open(target, job.record, restart=restart) as staging:
        if staging.published:  # a run before was killed only after that
            return job
        staging.check_space(job.output_bytes + _bytes_beside(job))
        assembly = assemble(job, staging, progress)
        with closing(assembly):
            threads = thread_count(job.threads)
            resumed = resume(assembly, staging.read_progress(), threads)
            if resumed and tell:
                tell(f"continuing: {resumed}")
            assembly.tell()
            (engine or run_threads)(assembly, threads)
            finish(assembly, staging)
    return replace(job, resumed=resumed)


def target_of(job: Job, dst: str | Path, *, overwrite: bool) -> Target:
    """Return where the files of a job go, and what they are called."""
    copied, _ = job.source.other_files()
    names = [shard.source.path.name for shard in job.shards] + copied + list(job.documents)
    names += [SEAL_NAME] if job.is_sealed else []
    for name in names:
        if job.is_sealed and not is_unicode(name):
            raise InputError(
                f"{job.source.path / name} has a name that is not UTF-8, which no seal can hold: "
                "rename it"
            )
    return checkpoint_target(job.source, dst, sorted(set(names)), overwrite=overwrite)


def assemble(job: Job, staging: Staging, progress: Progress | None = None) -> Assembly:
    """Return the assembly of a job in its staging folder."""
    staged = Staged(staging.create, lambda name: staging.directory / name, staging.append)
    return Assembly(job, staged, staging.target.name_of, beside(job, staging), progress)


def finish(assembly: Assembly, staging: Staging) -> None:
    """Seal the files of a job whose tasks and files are done, read them as anybody, and publish.

    Raises:
        MismatchError: the source has changed meanwhile.
        AmsError: what was staged cannot be read, or not published.
    """
    job = assembly.job
    for shard in job.shards:
        shard.source.check_unchanged()
    if job.is_sealed:
        seal_set(assembly, staging)
    single = staging.target.path.name if staging.target.is_file else ""
    read_catalog(staging.directory / single)
    staging.publish()


def _bytes_beside(job: Job) -> int:
    copied, _ = job.source.other_files()
    return sum(map(job.source.size_of, copied)) + sum(map(len, job.documents.values()))
