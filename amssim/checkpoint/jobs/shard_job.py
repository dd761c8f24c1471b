"""Making one file of a plan: each tensor is copied, quantised or dequantised, in row blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amssim._checks import find_wrong
from amssim.checkpoint.jobs.plan import ShardPlan, Step
from amssim.checkpoint.jobs.progress import Tick
from amssim.checkpoint.packed.contents import Content
from amssim.checkpoint.packed.reader import packed_blocks
from amssim.checkpoint.packed.stored import SCALES, SHAPE, WORDS
from amssim.checkpoint.safetensors.files import read_chunks
from amssim.checkpoint.safetensors.header import FLOAT_NAMES, Header
from amssim.checkpoint.safetensors.reader import TensorReader, row_blocks
from amssim.checkpoint.safetensors.writer import ShardWriter
from amssim.errors import InputError
from amssim.tensor.quantize import dequantize, quantize


def make_shard(
    plan: ShardPlan, path: Path, *, resident_bytes: int, threads: int | None, tick: Tick
) -> None:
    """Write the file of ``plan`` to ``path``.

    Raises:
        InputError: weights that cannot be quantised, or do not fit the new dtype.
        MismatchError: the source changed meanwhile.
    """
    with (
        ShardWriter(path, plan.tensors, plan.manifest) as writer,
        TensorReader(plan.source, resident_bytes) as reader,
    ):
        job = _Job(plan.source, reader, writer, threads, tick)
        for step in plan.steps:
            job.do(step)
        plan.source.check_unchanged()


@dataclass(frozen=True)
class _Job:
    source: Header
    reader: TensorReader
    writer: ShardWriter
    threads: int | None
    tick: Tick

    def do(self, step: Step) -> None:
        if step.is_copy:
            self._copy(step.before)
        elif step.after.packing:
            self._quantize(step.after)
        else:
            self._dequantize(step)

    def _copy(self, content: Content) -> None:
        for piece in read_chunks(self.source.path, *self.source.data_range(content.name)):
            self.writer.write(content.name, piece)
        self.tick(content.name, content.weights)

    def _quantize(self, after: Content) -> None:
        name = after.name
        for key in row_blocks(after.shape):
            weights = self.reader.rows(name, key)
            packed = self._packed(weights, after)
            self.writer.write(name + WORDS, packed.words)
            self.writer.write(name + SCALES, packed.scales)
            self.tick(name, weights.size)
        self.writer.write(name + SHAPE, np.array(after.shape, "<i8"))

    def _packed(self, weights: np.ndarray, after: Content):
        p = after.packing
        options = {"search": p.search, "scale": p.scale, "scale_block": p.scale_block}
        try:
            return quantize(weights, p.scheme, threads=self.threads, name=after.name, **options)
        except InputError:
            self._check_finite(after)  # says where in the whole tensor, not in the block
            raise

    def _check_finite(self, content: Content) -> None:
        blocks = row_blocks(content.shape)
        rows = (((*k[:-1], k[-1].start), self.reader.rows(content.name, k)) for k in blocks)
        count, first = find_wrong(rows)
        if count:
            raise InputError(
                f"{self.source.path}: tensor {content.name!r} holds {count} NaN or Inf, the first "
                f"at {list(first)}: mend it, or keep the tensor by the rule "
                f"'{re.escape(content.name)}=keep'"
            )

    def _dequantize(self, step: Step) -> None:
        name, dtype = step.after.name, FLOAT_NAMES[step.after.dtype]
        for _, packed in packed_blocks(self.source, step.before, self.reader):
            weights = dequantize(packed, dtype, threads=self.threads)
            if not np.isfinite(weights).all():
                raise InputError(
                    f"{self.source.path}: tensor {name!r} exceeds the range of {dtype}: "
                    "choose a wider dtype"
                )
            self.writer.write(name, weights)
            self.tick(name, weights.size)
