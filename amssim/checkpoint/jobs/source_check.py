"""Comparing a quantised checkpoint with the float one it was made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from amssim.checkpoint.jobs.convert import quantize_as
from amssim.checkpoint.packed.catalog import Catalog
from amssim.checkpoint.packed.stored import LogicalTensor
from amssim.checkpoint.safetensors.files import read_chunks
from amssim.checkpoint.safetensors.header import Header, TensorInfo
from amssim.checkpoint.safetensors.reader import RowRange, TensorReader
from amssim.checkpoint.safetensors.shards import read_checkpoint
from amssim.errors import MismatchError
from amssim.metrics import Metrics
from amssim.tensor.packed import PackedTensor


class SourceCheck:
    """The source's tensors, which must be those of ``catalog`` in name, shape and dtype.

    Raises:
        MismatchError: another checkpoint.
    """

    def __init__(self, path: str | Path, catalog: Catalog, threads: int | None):
        self._path, self._threads = path, threads
        self._tensors = {info.name: (h, info) for h, info in read_checkpoint(path).items()}
        expected = {tensor.name: tensor for _, tensor in catalog}
        for name in sorted(self._tensors.keys() ^ expected.keys()):
            where = path if name in self._tensors else catalog.checkpoint.path
            raise MismatchError(f"only {where} holds the tensor {name!r}: not its source")
        for name, tensor in expected.items():
            self._check_form(tensor, self._tensors[name][1])

    def check_kept(self, header: Header, tensor: LogicalTensor) -> None:
        """Raise `MismatchError` unless a kept tensor's bytes are those of the source."""
        source, _ = self._tensors[tensor.name]
        pieces = read_chunks(header.path, *header.data_range(tensor.name))
        originals = read_chunks(source.path, *source.data_range(tensor.name))
        if any(a != b for a, b in zip(pieces, originals, strict=True)):
            raise MismatchError(f"tensor {tensor.name!r} was kept but differs from {source.path}")

    def check_packed(self, tensor: LogicalTensor, rows: RowRange, packed: PackedTensor) -> Metrics:
        """Quantise some rows again; return the error, or raise `MismatchError`."""
        packing, (source, _) = tensor.check_packed(), self._tensors[tensor.name]
        with TensorReader(source) as reader:
            weights = reader.rows(tensor.name, rows)
        again = quantize_as(weights, packing, tensor.name)
        if again != packed:
            same = (again.words == packed.words).all(1) & (again.scales == packed.scales).all(1)
            row = [*rows.outer, rows.start + int(np.argmin(same))]
            raise MismatchError(
                f"tensor {tensor.name!r} is not what {source.path} gives by {packing.search} "
                f"search and {packing.scale} scales: the first difference is in row {row}"
            )
        return Metrics.of(weights, packed.dequantize(), threads=self._threads)

    def _check_form(self, tensor: LogicalTensor, info: TensorInfo) -> None:
        if tensor.packing:
            tensor.packing.rules(tensor.name)  # raises where they are not known
        if (info.shape, info.dtype) != (tensor.shape, tensor.dtype):
            raise MismatchError(
                f"tensor {tensor.name!r} was made from {tensor.dtype}{list(tensor.shape)}, "
                f"but {self._path} holds {info.dtype}{list(info.shape)}"
            )
