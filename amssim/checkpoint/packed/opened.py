"""A checkpoint as a mapping from names to arrays and packed tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from amssim.checkpoint.packed.contents import read_contents
from amssim.checkpoint.packed.reader import read_packed
from amssim.checkpoint.safetensors.reader import TensorReader
from amssim.checkpoint.safetensors.source import read_checkpoint
from amssim.tensor.packed import PackedTensor


class OpenCheckpoint(Mapping[str, "np.ndarray | PackedTensor"]):
    """Names in order, each read from the disk when it is asked for, none of them kept.

    A tensor of three dimensions that is packed comes with its matrices stacked.
    """

    def __init__(self, path: str | Path):
        self._path = path
        items = read_contents(read_checkpoint(path)).items()
        self._found = {content.name: (header, content) for header, content in items}

    def __getitem__(self, name: str) -> np.ndarray | PackedTensor:
        if name not in self._found:
            raise KeyError(f"{self._path} holds no tensor {name!r}")
        header, content = self._found[name]
        if content.packing:
            return read_packed(header, content)
        with TensorReader(header) as reader:
            return reader.whole(name)

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._found))

    def __len__(self) -> int:
        return len(self._found)


def open_checkpoint(path: str | Path) -> OpenCheckpoint:
    """Open a safetensors file or directory, amssim's or any other, as a mapping by name.

    Raises:
        AmsError: headers, index or config.json that are damaged or contradict each other.
    """
    return OpenCheckpoint(path)
