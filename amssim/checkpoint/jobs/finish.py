"""Finishing a job that was done in parts, from nothing but its output's name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from amssim.checkpoint.jobs.assembly import Assembly
from amssim.checkpoint.jobs.engine import run_threads
from amssim.checkpoint.jobs.execute import execute
from amssim.checkpoint.jobs.groups import part_of_tasks
from amssim.checkpoint.jobs.job import Job
from amssim.checkpoint.jobs.parts import JobPart, counts_of_parts
from amssim.checkpoint.jobs.plan import plan_again
from amssim.checkpoint.safetensors.folder import Folder
from amssim.checkpoint.safetensors.folder_lock import JOB, open_own_folder
from amssim.checkpoint.safetensors.job_file import JobFile, differences
from amssim.checkpoint.safetensors.output_errors import OtherCommand, output_errors
from amssim.checkpoint.safetensors.target import INSIDE, Target
from amssim.errors import MismatchError, OutputError
from amssim.progress import Progress

_SHOWN = 20


def finish_checkpoint(
    dst: str | Path,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> Job:
    """Seal and publish what parts of a job have made; return the job.

    Args:
        dst: the output that was given to the parts.
        threads, progress, tell: as for `quantize_checkpoint`.

    Raises:
        OutputError: nothing to finish, parts that are missing, or one that is at work.
        MismatchError: the source is not what it was.
        AmsError: as `quantize_checkpoint`.
    """
    dst = Path(dst)
    with output_errors(dst):
        folder, recorded = _unfinished(dst)
    job = _same_job(folder, recorded, threads)
    overwrite = recorded.record.get("overwrite") is True

    def finish_files(assembly: Assembly, threads: int) -> None:
        _check_all_done(assembly, dst, counts_of_parts(folder))
        run_threads(assembly, threads)

    return execute(job, dst, overwrite=overwrite, progress=progress, tell=tell, engine=finish_files)


def _same_job(folder: Path, recorded: JobFile, threads: int | None) -> Job:
    """Plan again what a folder was begun for; `MismatchError` if that is another job by now."""
    old = recorded.record
    try:
        job = plan_again(old["path"], old["options"], threads)
    except (KeyError, TypeError, AttributeError):
        raise OutputError(
            f"{folder / JOB} is not what this version of amssim writes: remove {folder} if you "
            "need nothing in it"
        ) from None
    if job.run != recorded.run:
        same = {name: old[name] for name in ("overwrite", "run") if name in old}
        changed = differences(old, job.record | same)
        raise MismatchError(
            f"{folder} was begun for another job than now: {changed}: begin anew (--restart), or "
            "bring back what it was begun with"
        )
    return job


def _unfinished(dst: Path) -> tuple[Path, JobFile]:
    """Return the staging folder of an output and what it says of its job."""
    for home, name in ((dst, INSIDE), (dst.parent, Target(dst, (), overwrite=False).beside)):
        if not (home / name / JOB).exists():
            continue
        with closing(Folder.at(home)) as above, closing(open_own_folder(above, name)) as folder:
            job = JobFile.read(folder)
        if job is not None:
            return home / name, job
    if dst.exists():
        raise OutputError(f"nothing is unfinished for {dst}: it is there (amssim verify {dst})")
    raise OutputError(
        f"nothing is unfinished for {dst}: begin with amssim quantize SRC {dst} --part I/N"
    )


def _check_all_done(assembly: Assembly, dst: Path, counts: set[int]) -> None:
    """Raise `OutputError` with the parts that are missing."""
    missing = {task.number for task in assembly.todo}
    if not missing:
        return
    parts = [
        str(JobPart(number, count))
        for count in sorted(counts)
        for number in range(1, count + 1)
        if any(t.number in missing for t in part_of_tasks(assembly.tasks, number, count))
    ]
    named = ", ".join(parts[:_SHOWN]) + (" and more" if len(parts) > _SHOWN else "")
    again = "give the quantize command again"
    advice = f"{again} with --part {named}" if parts else again
    raise OtherCommand(
        f"{dst} is not complete, {len(missing)} of {len(assembly.tasks)} tasks are missing: "
        f"{advice}"
    )
