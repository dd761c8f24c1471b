"""Comparing a quantised checkpoint with the float one it was made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.convert import plain_rows, quantize_as, row_index
from amssim.checkpoint.jobs.pieces import pieces_of, read_pieces
from amssim.checkpoint.jobs.readers import Readers
from amssim.checkpoint.packed.catalog import Catalog
from amssim.checkpoint.packed.stored import LogicalTensor
from amssim.checkpoint.safetensors.header import TensorInfo
from amssim.checkpoint.safetensors.shards import read_checkpoint
from amssim.errors import MismatchError
from amssim.metrics import Metrics
from amssim.tensor.packed import PackedTensor
from amssim.tensor.quantize import dequantize


class SourceCheck:
    """The source's tensors, which must be those of ``catalog`` in name, shape and dtype.

    Raises:
        MismatchError: another checkpoint.
    """

    def __init__(self, path: str | Path, catalog: Catalog, readers: Readers):
        self._path, self._readers = path, readers
        source = read_checkpoint(path, follow_links=catalog.checkpoint.follow_links)
        self._tensors = {info.name: (h, info) for h, info in source.items()}
        expected = {tensor.name: tensor for _, tensor in catalog}
        for name in sorted(self._tensors.keys() ^ expected.keys()):
            where = path if name in self._tensors else catalog.checkpoint.path
            raise MismatchError(f"only {where} holds the tensor {name!r}: not its source")
        for name, tensor in expected.items():
            self._check_form(tensor, self._tensors[name][1])

    def check_kept(self, tensor: LogicalTensor, start: int, raw: np.ndarray, room: Buffers) -> None:
        """Raise `MismatchError` unless a kept tensor's bytes from ``start`` on are the source's."""
        original = self._read(tensor, start, start + raw.nbytes, room, as_bytes=True)
        if not np.array_equal(raw, original):
            raise MismatchError(
                f"tensor {tensor.name!r} was kept but differs from {self._file(tensor)}"
            )

    def check_packed(
        self, tensor: LogicalTensor, start: int, packed: PackedTensor, room: Buffers
    ) -> Metrics:
        """Quantise rows from ``start`` on again; return the error, or raise `MismatchError`."""
        packing = tensor.check_packed()
        raw = self._read(tensor, start, start + packed.shape[0], room, as_bytes=False)
        weights = plain_rows(tensor, raw)
        again = quantize_as(weights, packing, tensor.name)
        if again != packed:
            same = (again.words == packed.words).all(1) & (again.scales == packed.scales).all(1)
            row = row_index(tensor.shape, start + int(np.argmin(same)))
            raise MismatchError(
                f"tensor {tensor.name!r} is not what {self._file(tensor)} gives by "
                f"{packing.search} search and {packing.scale} scales: the first difference is in "
                f"row {row}"
            )
        restored = room.array("restored", packed.shape, np.float32)
        return Metrics.of(weights, dequantize(packed, out=restored, threads=1), threads=1)

    def _read(
        self, tensor: LogicalTensor, start: int, stop: int, room: Buffers, *, as_bytes: bool
    ) -> np.ndarray:
        header, info = self._tensors[tensor.name]
        plain = LogicalTensor.plain(info)
        with self._readers.reader(header) as reader:
            pieces = pieces_of(plain, start, stop, as_bytes=as_bytes)
            (raw,) = read_pieces(reader, pieces, room, use="source")
            reader.check_stamps()
        return raw

    def _file(self, tensor: LogicalTensor) -> Path:
        return self._tensors[tensor.name][0].path

    def _check_form(self, tensor: LogicalTensor, info: TensorInfo) -> None:
        if tensor.packing:
            tensor.packing.rules(tensor.name)  # raises where they are not known
        if (info.shape, info.dtype) != (tensor.shape, tensor.dtype):
            raise MismatchError(
                f"tensor {tensor.name!r} was made from {tensor.dtype}{list(tensor.shape)}, "
                f"but {self._path} holds {info.dtype}{list(info.shape)}"
            )
