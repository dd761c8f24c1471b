"""Quantising and dequantising whole checkpoints."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from amssim._threads import thread_count
from amssim.checkpoint.jobs.assembly import Assembly, Staged
from amssim.checkpoint.jobs.engine import run_threads
from amssim.checkpoint.jobs.job import Job
from amssim.checkpoint.jobs.plan import DEFAULT_SCHEME, plan_dequantize, plan_quantize
from amssim.checkpoint.safetensors.files import file_stamp, read_chunks
from amssim.checkpoint.safetensors.shards import CONFIG_NAME, INDEX_NAME, Index, encode_config
from amssim.checkpoint.safetensors.space import check_space
from amssim.checkpoint.safetensors.staging import Staging
from amssim.checkpoint.safetensors.target import checkpoint_target
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
    copied, _ = job.source.other_files()
    described = _described(job)
    names = [shard.source.path.name for shard in job.shards] + copied + list(described)
    target = checkpoint_target(job.source, dst, names, overwrite=overwrite)
    sizes = [file_stamp(job.source.path / name).size for name in copied]
    check_space(target.home, job.output_bytes + sum(sizes) + sum(map(len, described.values())))
    with Staging.open(target, {"run": secrets.token_hex(16)}) as staging:
        assembly = Assembly(job, _offered(staging), target.name_of, progress=progress)
        with closing(assembly):
            run_threads(assembly, thread_count(job.threads))
        for shard in job.shards:
            shard.source.check_unchanged()
        for name in copied:
            path = job.source.path / name
            staging.write(name, read_chunks(path, 0, file_stamp(path).size))
        for name, content in described.items():
            staging.write(name, [content])
        staging.publish()


def _offered(staging: Staging) -> Staged:
    return Staged(staging.create, lambda name: staging.directory / name, lambda line: None)


def _described(job: Job) -> dict[str, bytes]:
    """Return index and config.json, where the source has them."""
    files = {}
    if job.source.index:
        shard_of = {i.name: s.source.path.name for s in job.shards for i in s.tensors}
        total = sum(info.nbytes for shard in job.shards for info in shard.tensors)
        metadata = job.source.index.metadata | {"total_size": total}
        files[INDEX_NAME] = Index(shard_of, metadata).encode()
    if job.config is not None:
        files[CONFIG_NAME] = encode_config(job.config)
    return files
