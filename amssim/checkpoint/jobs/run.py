"""Quantising and dequantising whole checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from amssim._threads import thread_count
from amssim.checkpoint.jobs.other_files import other_files
from amssim.checkpoint.jobs.plan import Plan
from amssim.checkpoint.jobs.planning import DEFAULT_SCHEME, plan_dequantize, plan_quantize
from amssim.checkpoint.jobs.progress import Progress, counter
from amssim.checkpoint.jobs.shard_job import make_shard
from amssim.checkpoint.jobs.staging import Staging, check_space, output_errors
from amssim.checkpoint.jobs.target import checkpoint_target
from amssim.checkpoint.safetensors.config import CONFIG_NAME, encode_config
from amssim.checkpoint.safetensors.files import read_chunks, stamp
from amssim.checkpoint.safetensors.index import INDEX_NAME, Index
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
) -> Plan:
    """Quantise a safetensors file or a directory of shards; return the plan that was carried out.

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
    options = {"search": search, "scale": scale, "scale_block": scale_block, "rules": rules}
    plan = plan_quantize(src, scheme, **options)
    execute(plan, dst, overwrite=overwrite, threads=threads, progress=progress)
    return plan


def dequantize_checkpoint(
    src: str | Path,
    dst: str | Path,
    dtype: str = "bfloat16",
    *,
    overwrite: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Make a quantised checkpoint plain: safetensors that any loader takes; return the plan.

    Args:
        src, dst: files or directories, as for `quantize_checkpoint`.
        dtype: of the restored weights: ``bfloat16``, ``float16`` or ``float32``. Tensors that
            were kept are copied as they are.
        overwrite, threads, progress: as for `quantize_checkpoint`.

    Raises:
        AmsError: as `quantize_checkpoint`; also `InputError` for weights that exceed ``dtype``.
    """
    plan = plan_dequantize(src, dtype)
    execute(plan, dst, overwrite=overwrite, threads=threads, progress=progress)
    return plan


def execute(
    plan: Plan, dst: str | Path, *, overwrite: bool, threads: int | None, progress: Progress | None
) -> None:
    """Write what ``plan`` says to ``dst``."""
    threads = thread_count(threads)
    target = checkpoint_target(plan.source, dst, overwrite=overwrite)
    check_space(target.home, plan.output_bytes)
    tick = counter((step.before for step in plan.steps()), progress)
    with output_errors(target.path), Staging(target.home, target.tag) as staging:
        names = []
        for shard in plan.shards:
            names.append(target.name_of(shard.source.path.name))
            path, resident = staging.path(names[-1]), plan.resident_bytes
            make_shard(shard, path, resident_bytes=resident, threads=threads, tick=tick)
        names += _copy_others(plan, staging)
        staging.publish(names, _describe(plan, staging), overwrite=overwrite)


def _copy_others(plan: Plan, staging: Staging) -> list[str]:
    names, _ = other_files(plan.source)
    for name in names:
        path = plan.source.path / name
        staging.write(name, read_chunks(path, 0, stamp(path).size))
    return names


def _describe(plan: Plan, staging: Staging) -> list[str]:
    """Write index and config.json, where the source has them, and return their names."""
    files = {}
    if plan.source.index:
        shard_of = {i.name: s.source.path.name for s in plan.shards for i in s.tensors}
        total = sum(info.nbytes for shard in plan.shards for info in shard.tensors)
        metadata = plan.source.index.metadata | {"total_size": total}
        files[INDEX_NAME] = Index(shard_of, metadata).encode()
    if plan.config is not None:
        files[CONFIG_NAME] = encode_config(plan.config)
    for name, content in files.items():
        staging.write(name, [content])
    return list(files)
