"""Quantising and dequantising whole checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from amssim._threads import thread_count
from amssim.checkpoint.jobs.assembly import Assembly, Staged
from amssim.checkpoint.jobs.engine import run_threads
from amssim.checkpoint.jobs.job import Job
from amssim.checkpoint.jobs.plan import DEFAULT_SCHEME, plan_dequantize, plan_quantize
from amssim.checkpoint.safetensors.files import file_stamp, read_chunks
from amssim.checkpoint.safetensors.output import Staging, checkpoint_target, staged
from amssim.checkpoint.safetensors.shards import CONFIG_NAME, INDEX_NAME, Index, encode_config
from amssim.progress import Progress
from amssim.scheme import Scheme


def quantize_checkpoint(
    src: str | Path,
    dst: str | Path,
    scheme: str | Scheme = DEFAULT_SCHEME,
    *,
    search: str = "adaptive",
    scale: str = "absmax",
    scale_block: int | None = None,
    rules: Iterable[str] = (),
    overwrite: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Job:
    """Quantise a safetensors file or a directory of shards; return the job that was done.

    What is quantised is said in `amssim.checkpoint.jobs.rules`; the output in
    `amssim.checkpoint`. It appears whole or not at all, and its bytes do not depend on ``threads``.

    Args:
        src: a ``.safetensors`` file, or a directory with an index and shards.
        dst: a file or directory, as ``src``; a directory must be new or empty.
        scheme: for everything that no rule decides.
        search, scale, scale_block: as `amssim.quantize`.
        rules: texts ``REGEX=SCHEME`` or ``REGEX=keep``; the first whose expression is found in a
            tensor's name decides, and each must decide something.
        overwrite: replace files of the same names in ``dst``.
        threads: None uses every CPU of the process.
        progress: called with weights done, all weights and a tensor's name.

    Raises:
        SchemeError: an unknown scheme, rule or option.
        InputError: NaN or Inf in a weight, a rule without effect, nothing to quantise.
        FormatError: a damaged source.
        UnsupportedError: a source that is quantised already, or pickled.
        OutputError, ResourceError: an output that exists or cannot be written.
        MismatchError: the source changed while it was read.
    """
    job = plan_quantize(
        src,
        scheme,
        search=search,
        scale=scale,
        scale_block=scale_block,
        rules=rules,
        threads=threads,
    )
    execute(job, dst, overwrite=overwrite, progress=progress)
    return job


def dequantize_checkpoint(
    src: str | Path,
    dst: str | Path,
    dtype: str = "bfloat16",
    *,
    overwrite: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Job:
    """Make a quantised checkpoint plain: safetensors that any loader takes; return the job.

    Args:
        src, dst: files or directories, as for `quantize_checkpoint`.
        dtype: of the restored weights: ``bfloat16``, ``float16`` or ``float32``. Tensors that
            were kept are copied as they are.
        overwrite, threads, progress: as for `quantize_checkpoint`.

    Raises:
        AmsError: as `quantize_checkpoint`; also `InputError` for weights that exceed ``dtype``.
    """
    job = plan_dequantize(src, dtype, threads=threads)
    execute(job, dst, overwrite=overwrite, progress=progress)
    return job


def execute(job: Job, dst: str | Path, *, overwrite: bool, progress: Progress | None) -> None:
    """Do ``job``: write the checkpoint to ``dst``."""
    target = checkpoint_target(job.source, dst, overwrite=overwrite)
    with staged(target, job.output_bytes) as staging:
        assembly = Assembly(job, _offered(staging), target.name_of, progress=progress)
        with closing(assembly):
            run_threads(assembly, thread_count(job.threads))
        for shard in job.shards:
            shard.source.check_unchanged()
        names = [target.name_of(shard.source.path.name) for shard in job.shards]
        names += _copy_others(job, staging)
        staging.publish(names, _describe(job, staging), overwrite=overwrite)


def _offered(staging: Staging) -> Staged:
    def open_file(name: str) -> int:
        return os.open(staging.path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    return Staged(open_file, staging.path, lambda line: None)


def _copy_others(job: Job, staging: Staging) -> list[str]:
    names, _ = job.source.other_files()
    for name in names:
        path = job.source.path / name
        staging.write(name, read_chunks(path, 0, file_stamp(path).size))
    return names


def _describe(job: Job, staging: Staging) -> list[str]:
    """Write index and config.json, where the source has them, and return their names."""
    files = {}
    if job.source.index:
        shard_of = {i.name: s.source.path.name for s in job.shards for i in s.tensors}
        total = sum(info.nbytes for shard in job.shards for info in shard.tensors)
        metadata = job.source.index.metadata | {"total_size": total}
        files[INDEX_NAME] = Index(shard_of, metadata).encode()
    if job.config is not None:
        files[CONFIG_NAME] = encode_config(job.config)
    for name, content in files.items():
        staging.write(name, [content])
    return list(files)
