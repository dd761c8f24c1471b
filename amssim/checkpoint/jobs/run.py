"""Quantising and dequantising whole checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from amssim.checkpoint.jobs.job import Job
from amssim.checkpoint.jobs.plan import DEFAULT_SCHEME, plan_dequantize, plan_quantize
from amssim.checkpoint.jobs.ways import way_to_do
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
    on_nan: str = "error",
    card: bool | str = False,
    follow_links: bool = True,
    overwrite: bool = False,
    restart: bool = False,
    threads: int | None = None,
    workers: int | str | None = None,
    part: str | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> Job:
    """Quantise a safetensors file or a directory of shards; return the job that was done.

    What is quantised is said in `amssim.checkpoint.jobs.rules`; the output in
    `amssim.checkpoint`. It appears whole or not at all, and its bytes do not depend on ``threads``.
    A run that is interrupted or killed leaves what it has finished in a hidden folder beside
    ``dst``, and the same call continues.

    Args:
        src: a ``.safetensors`` file, or a directory with an index and shards.
        dst: a file or directory, as ``src``; a directory must be new or empty.
        scheme: for everything that no rule decides.
        search, scale, scale_block: as `amssim.quantize`.
        rules: texts ``REGEX=SCHEME`` or ``REGEX=keep``; the first whose expression is found in a
            tensor's name decides, and each must decide something.
        on_nan: ``error``, or ``keep``: leave a tensor with NaN or Inf as it is; all weights are
            read once more to know.
        card: write ``amssim.md`` into a directory, a page on what it is and what runs it, as the
            command does; a text is what it calls the source, otherwise by the name of ``src``.
        follow_links: False refuses a source, and files of it, that are symbolic links.
        overwrite: replace files of the same names in ``dst``.
        restart: discard what an unfinished run has left, of whatever job.
        threads: how many work, each at a task; None is one for every CPU of the process.
        workers: as many processes, with ``threads`` each, do the work; or those of a Dask
            scheduler, given by its address. Needs ``amssim[distributed]``.
        part: ``I/N`` does the I-th of N parts and publishes nothing; see `finish_checkpoint`.
        progress: called with weights done, all weights and a tensor's name.
        tell: called with a sentence on what an unfinished run of this job has left.

    Raises:
        SchemeError: an unknown scheme, rule or option.
        InputError: NaN or Inf in a weight, a rule without effect, nothing to quantise.
        FormatError, UnsupportedError: a source that is damaged, quantised already, or pickled.
        OutputError, ResourceError: an output that exists or cannot be written; no workers.
        MismatchError: the source changed while it was read.
    """
    done = way_to_do(threads, workers, part)
    options: dict[str, Any] = {"search": search, "scale": scale, "scale_block": scale_block}
    options |= {"rules": rules, "on_nan": on_nan, "card": card, "follow_links": follow_links}
    job = plan_quantize(src, scheme, **options, threads=threads)
    return done(job, dst, overwrite=overwrite, restart=restart, progress=progress, tell=tell)


def dequantize_checkpoint(
    src: str | Path,
    dst: str | Path,
    dtype: str = "bfloat16",
    *,
    verify: bool = True,
    follow_links: bool = True,
    overwrite: bool = False,
    restart: bool = False,
    threads: int | None = None,
    workers: int | str | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> Job:
    """Make a quantised checkpoint plain: safetensors that any loader takes; return the job.

    Args:
        src, dst: files or directories, as for `quantize_checkpoint`.
        dtype: of the restored weights: ``bfloat16``, ``float16`` or ``float32``. Tensors that
            were kept are copied as they are.
        verify: compare the checksums that ``src`` states of what is read.
        follow_links, overwrite, restart, threads, workers, progress, tell: as for
            `quantize_checkpoint`.

    Raises:
        AmsError: as `quantize_checkpoint`; also `InputError` for weights that exceed ``dtype``, and
            `MismatchError` for a checksum that differs.
    """
    done = way_to_do(threads, workers)
    job = plan_dequantize(src, dtype, verify=verify, follow_links=follow_links, threads=threads)
    return done(job, dst, overwrite=overwrite, restart=restart, progress=progress, tell=tell)
