"""Comparing a quantised checkpoint with the float one it was made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from amssim.checkpoint.packed.contents import Content, Contents
from amssim.checkpoint.safetensors.files import read_chunks
from amssim.checkpoint.safetensors.header import Header, TensorInfo
from amssim.checkpoint.safetensors.reader import Key, TensorReader
from amssim.checkpoint.safetensors.source import read_checkpoint
from amssim.errors import MismatchError, UnsupportedError
from amssim.metrics import Metrics
from amssim.tensor.packed import PackedTensor
from amssim.tensor.quantize import quantize


class SourceCheck:
    """The source's tensors, which must be those of ``contents`` in name, shape and dtype.

    Raises:
        MismatchError: another checkpoint.
    """

    def __init__(self, path: str | Path, contents: Contents, threads: int | None):
        self._path, self._threads = path, threads
        self._found = {info.name: (h, info) for h, info in read_checkpoint(path).items()}
        expected = {content.name: content for _, content in contents.items()}
        for name in sorted(self._found.keys() ^ expected.keys()):
            where = path if name in self._found else contents.checkpoint.path
            raise MismatchError(f"only {where} holds the tensor {name!r}: not its source")
        for name, content in expected.items():
            self._check_form(content, self._found[name][1])

    def check_kept(self, header: Header, content: Content) -> None:
        """Raise `MismatchError` unless a kept tensor's bytes are those of the source."""
        source, _ = self._found[content.name]
        pieces = read_chunks(header.path, *header.data_range(content.name))
        originals = read_chunks(source.path, *source.data_range(content.name))
        if any(a != b for a, b in zip(pieces, originals, strict=True)):
            raise MismatchError(f"tensor {content.name!r} was kept but differs from {source.path}")

    def check_packed(self, content: Content, key: Key, packed: PackedTensor) -> Metrics:
        """Quantise the rows at ``key`` again; return the error, or raise `MismatchError`."""
        p, (source, _) = content.packing, self._found[content.name]
        with TensorReader(source) as reader:
            weights = reader.rows(content.name, key)
        options = {"search": p.search, "scale": p.scale, "scale_block": p.scale_block}
        again = quantize(weights, p.scheme, threads=self._threads, name=content.name, **options)
        if again != packed:
            same = (again.words == packed.words).all(1) & (again.scales == packed.scales).all(1)
            row = key[-1].start + int(np.argmin(same))
            raise MismatchError(
                f"tensor {content.name!r} is not what {source.path} gives by {p.search} search "
                f"and {p.scale} scales: the first difference is in row {[*key[:-1], row]}"
            )
        return Metrics.of(weights, packed.dequantize(), threads=self._threads)

    def _check_form(self, content: Content, info: TensorInfo) -> None:
        if content.packing and content.packing.search is None:
            raise UnsupportedError(
                f"tensor {content.name!r} was saved without its search and scale rules, so it "
                "cannot be compared with a source"
            )
        if (info.shape, info.dtype) != (content.shape, content.dtype):
            raise MismatchError(
                f"tensor {content.name!r} was made from {content.dtype}{list(content.shape)}, "
                f"but {self._path} holds {info.dtype}{list(info.shape)}"
            )
