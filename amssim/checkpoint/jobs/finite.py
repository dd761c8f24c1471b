"""Tensors with NaN or Inf among those to be quantised, found before anything is written.

Looking for them reads all weights once more; in return the plan is the same for any number of
threads, tasks and parts, and a job that continues need not look back.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from amssim._threads import thread_count
from amssim.checkpoint.jobs.rules import Decision
from amssim.checkpoint.safetensors.header import TensorInfo
from amssim.checkpoint.safetensors.reader import TensorReader, row_ranges
from amssim.checkpoint.safetensors.shards import Checkpoint
from amssim.errors import SchemeError

#: What is done with a tensor that holds NaN or Inf: an error, or it is kept as it is.
ON_NAN = ("error", "keep")
NOT_FINITE = "holds NaN or Inf"

_ELEMENTS = 1 << 20


def check_on_nan(on_nan: str) -> str:
    """Return ``on_nan`` if it is one of `ON_NAN`, else raise `SchemeError`."""
    if isinstance(on_nan, str) and on_nan in ON_NAN:
        return on_nan
    raise SchemeError(f"unknown on_nan {on_nan!r}: choose one of {', '.join(ON_NAN)}")


def keep_not_finite(
    checkpoint: Checkpoint, decisions: Mapping[str, Decision], threads: int | None = None
) -> dict[str, Decision]:
    """Return ``decisions`` with every tensor kept that would be quantised and is not finite."""
    found = dict(decisions)
    with ThreadPoolExecutor(thread_count(threads)) as pool:
        for header in checkpoint.shards.values():
            asked = [info for info in header.tensors.values() if decisions[info.name].scheme]
            with TensorReader(header) as reader:
                finite = pool.map(lambda info, reader=reader: _is_finite(reader, info), asked)
                bad = [info.name for info, ok in zip(asked, finite, strict=True) if not ok]
            found |= dict.fromkeys(bad, Decision(None, NOT_FINITE))
    return found


def _is_finite(reader: TensorReader, info: TensorInfo) -> bool:
    import numpy as np

    ranges = row_ranges(info.shape, _ELEMENTS)
    return all(np.isfinite(reader.rows(info.name, rows)).all() for rows in ranges)
