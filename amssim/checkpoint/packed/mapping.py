"""A checkpoint as a mapping from names to tensors: as they are stored, or as float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from amssim.checkpoint.packed.catalog import read_catalog
from amssim.checkpoint.packed.decode import read_packed, read_plain
from amssim.tensor.packed import PackedTensor


class OpenCheckpoint(Mapping[str, "np.ndarray | PackedTensor"]):
    """Names in order, each read from the disk when it is asked for, none of them kept.

    A tensor of three dimensions that is packed comes with its matrices stacked. Each is checked
    against its checksum, where the file has one and ``verify`` is not False.
    """

    def __init__(self, path: str | Path, *, verify: bool = True):
        self._path, self._verify = path, verify
        self._tensors = {tensor.name: (header, tensor) for header, tensor in read_catalog(path)}

    def __getitem__(self, name: str) -> np.ndarray | PackedTensor:
        if name not in self._tensors:
            raise KeyError(f"{self._path} holds no tensor {name!r}")
        header, tensor = self._tensors[name]
        if tensor.packing:
            return read_packed(header, tensor, verify=self._verify)
        expected = tensor.sums.get(name) if self._verify else None
        return read_plain(header, name, expected=expected)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._tensors))

    def __len__(self) -> int:
        return len(self._tensors)


class FloatCheckpoint(Mapping[str, np.ndarray]):
    """The same as float32 arrays, whoever wrote the checkpoint.

    Args:
        path: a safetensors file or directory.
        verify: check each tensor against its checksum, where the file has one.

    Raises:
        AmsError: a path that is no such checkpoint, or one that is damaged.
    """

    def __init__(self, path: str | Path, *, verify: bool = True):
        self._stored = open_checkpoint(path, verify=verify)

    def __getitem__(self, name: str) -> np.ndarray:
        tensor = self._stored[name]
        if isinstance(tensor, PackedTensor):
            return tensor.dequantize()
        return tensor.astype(np.float32)

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


def open_checkpoint(path: str | Path, *, verify: bool = True) -> OpenCheckpoint:
    """Open a safetensors file or directory, amssim's or any other, as a mapping by name.

    Args:
        path: the file or directory.
        verify: check each tensor that is read against its checksum, where the file has one; one
            that is damaged raises `MismatchError`.

    Raises:
        AmsError: headers, index or config.json that are damaged or contradict each other.
    """
    return OpenCheckpoint(path, verify=verify)
