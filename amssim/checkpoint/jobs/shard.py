"""Making one file of a job: each tensor is copied, quantised or dequantised, by ranges of rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amssim._checks import find_wrong
from amssim.checkpoint.jobs.job import ShardJob, Step
from amssim.checkpoint.packed.stored import (
    FLOAT_DTYPES,
    SCALES,
    SHAPE,
    WORDS,
    LogicalTensor,
    Packing,
    packed_ranges,
)
from amssim.checkpoint.safetensors.files import read_chunks
from amssim.checkpoint.safetensors.header import Header
from amssim.checkpoint.safetensors.reader import TensorReader, row_ranges
from amssim.checkpoint.safetensors.writer import ShardWriter
from amssim.errors import InputError
from amssim.progress import Steps
from amssim.tensor.packed import PackedTensor
from amssim.tensor.quantize import dequantize, quantize


def make_shard(job: ShardJob, path: Path, *, threads: int | None, done: Steps) -> None:
    """Write the file of ``job`` to ``path``; ``done`` is told of weights as they are done.

    Raises:
        InputError: weights that cannot be quantised, or do not fit the new dtype.
        MismatchError: the source changed meanwhile.
    """
    with (
        ShardWriter(path, job.tensors, job.metadata) as writer,
        TensorReader(job.source) as reader,
    ):
        work = _ShardWork(job.source, reader, writer, threads, done)
        for step in job.steps:
            work.do(step)
        reader.check_unchanged()


def quantize_as(
    weights: np.ndarray, packing: Packing, *, threads: int | None, name: str
) -> PackedTensor:
    """Quantise rows of tensor ``name`` as ``packing`` says.

    Raises:
        InputError: weights that are not finite.
        UnsupportedError: a packing without its rules.
    """
    search, scale = packing.rules(name)
    return quantize(
        weights,
        packing.scheme,
        search=search,
        scale=scale,
        scale_block=packing.scale_block,
        threads=threads,
        name=name,
    )


@dataclass(frozen=True)
class _ShardWork:
    source: Header
    reader: TensorReader
    writer: ShardWriter
    threads: int | None
    done: Steps

    def do(self, step: Step) -> None:
        if step.is_copy:
            self._copy(step.before)
        elif step.after.packing:
            self._quantize(step.after, step.after.packing)
        else:
            self._dequantize(step)

    def _copy(self, tensor: LogicalTensor) -> None:
        for piece in read_chunks(self.source.path, *self.source.data_range(tensor.name)):
            self.writer.write(tensor.name, piece)
        self.done.finished(tensor.name, tensor.weight_count)

    def _quantize(self, tensor: LogicalTensor, packing: Packing) -> None:
        name = tensor.name
        for _, weights in self._ranges(tensor):
            try:
                packed = quantize_as(weights, packing, threads=self.threads, name=name)
            except InputError:
                self._check_finite(tensor)  # says where in the whole tensor, not among these rows
                raise
            self.writer.write(name + WORDS, packed.words)
            self.writer.write(name + SCALES, packed.scales)
            self.done.finished(name, weights.size)
        self.writer.write(name + SHAPE, np.array(tensor.shape, "<i8"))

    def _ranges(self, tensor: LogicalTensor) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        """Yield a tensor by ranges of rows, each with the index of its first row."""
        for rows in row_ranges(tensor.shape):
            yield rows.first, self.reader.rows(tensor.name, rows)

    def _check_finite(self, tensor: LogicalTensor) -> None:
        wrong = find_wrong(self._ranges(tensor))
        if wrong.total:
            raise InputError(
                f"{self.source.path}: tensor {tensor.name!r} holds {wrong.total} NaN or Inf, the "
                f"first at {list(wrong.first)}: mend it, or keep the tensor by the rule "
                f"'{re.escape(tensor.name)}=keep'"
            )

    def _dequantize(self, step: Step) -> None:
        name, dtype = step.after.name, FLOAT_DTYPES[step.after.dtype]
        for _, packed in packed_ranges(self.reader, step.before):
            weights = dequantize(packed, dtype, threads=self.threads)
            if not np.isfinite(weights).all():
                raise InputError(
                    f"{self.source.path}: tensor {name!r} exceeds the range of {dtype}: "
                    "choose a wider dtype"
                )
            self.writer.write(name, weights)
            self.done.finished(name, weights.size)
