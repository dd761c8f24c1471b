"""Bounds on what jobs hold in memory, above an idle interpreter that has imported the same.

Each thread works on one task at a time in buffers of its own, whatever the size of the checkpoint.
inspect, plans and seal hold what is known of every tensor, and 4 MB of a file at a time. What opens
a checkpoint as a mapping (error, eval, report, load) holds each tensor whole while it is used.
"""

from __future__ import annotations

from collections.abc import Iterable

from amssim.checkpoint.jobs.pieces import TASK_BYTES, pieces_of, ranges
from amssim.checkpoint.packed.stored import LogicalTensor
from amssim.checkpoint.safetensors.header import DTYPE_BITS

#: Of the process: lists of tasks, checksums and the allocator's spare memory; 1 to 3 MB measured.
_SLACK_BYTES = 1 << 22
#: Of a thread: its stack, the band of rows that is float32 at a time, the allocator's spare memory.
_THREAD_BYTES = 1 << 22
_BAND_WEIGHTS = 1 << 18
#: What plan, headers and checksums hold of a tensor, and of a task; 7 kB and 500 B measured.
_TENSOR_BYTES, _RECORD_BYTES = 10_000, 800
#: Histograms of a part, of its tensor and of their sum.
_METRICS_BYTES = 3 << 20


def peak_bytes(pairs: Iterable[tuple[LogicalTensor, LogicalTensor]], threads: int) -> int:
    """Bound for a job that makes the second tensor of each pair of the first."""
    read, made, count, records = TASK_BYTES, 0, 0, 0
    for before, after in pairs:
        records += _TENSOR_BYTES
        copied = before.packing == after.packing
        read = max(read, _largest(before, before, as_bytes=copied))
        made = max(made, 0 if copied else _largest(after, before) + _band_bytes(before))
        count += _count(before, as_bytes=copied)
    work = min(threads, max(count, 1)) * (read + made + _THREAD_BYTES)
    return work + records + count * _RECORD_BYTES + _SLACK_BYTES


def verify_bytes(tensors: Iterable[LogicalTensor], threads: int, *, compared: bool) -> int:
    """Bound for verifying ``tensors``; ``compared`` with the source that they were made from."""
    most, count, records = TASK_BYTES * (1 + compared), 0, 0
    for tensor in tensors:
        records += _TENSOR_BYTES
        as_bytes = tensor.packing is None
        count += _count(tensor, as_bytes=as_bytes)
        if not as_bytes:
            most = max(most, _verify_part(tensor, compared=compared))
    work = min(threads, max(count, 1)) * (most + _THREAD_BYTES)
    return work + records + count * _RECORD_BYTES + _SLACK_BYTES


def _verify_part(tensor: LogicalTensor, *, compared: bool) -> int:
    """Words and scales as read and again, codes; weights of the source and restored ones."""
    start, stop = next(ranges(tensor, as_bytes=False))
    weights = (stop - start) * tensor.shape[-1]
    stored = _largest(tensor, tensor)
    source = (DTYPE_BITS.get(tensor.dtype, 32) // 8 + 4) * weights + _METRICS_BYTES
    return 2 * stored + 2 * weights + compared * (stored + source + 2 * _band_bytes(tensor))


def _largest(tensor: LogicalTensor, split: LogicalTensor, *, as_bytes: bool = False) -> int:
    """Bytes of the largest range, the first, of ``tensor`` when it is cut as ``split``."""
    for start, stop in ranges(split, as_bytes=as_bytes):
        return sum(p.stop - p.start for p in pieces_of(tensor, start, stop, as_bytes=as_bytes))
    return 0


def _band_bytes(tensor: LogicalTensor) -> int:
    """A row as float32 that is longer than a band."""
    columns = tensor.shape[-1]
    return 4 * columns if columns > _BAND_WEIGHTS else 0


def _count(tensor: LogicalTensor, *, as_bytes: bool) -> int:
    return sum(1 for _ in ranges(tensor, as_bytes=as_bytes))
