"""Checksums of what is stored of a tensor, compared while it is read."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from amssim.checkpoint.safetensors.checksum import crc32_of
from amssim.errors import MismatchError

if TYPE_CHECKING:
    import numpy as np

    from amssim.checkpoint.safetensors.reader import TensorReader


class RunningSums:
    """CRC-32 of stored tensors from their parts, each given in order.

    Args:
        path: of the file, for errors.
        expected: the sum of each stored tensor by name; of others nothing is known or checked.
    """

    def __init__(self, path: Path, expected: Mapping[str, int]):
        self._path, self._expected = path, expected
        self._found: dict[str, int] = {}

    def add(self, name: str, part: np.ndarray) -> None:
        """Take the next part of the stored tensor ``name``, in C order."""
        if name in self._expected and part.size:
            raw = part.ravel().view("u1").data
            self._found[name] = zlib.crc32(raw, self._found.get(name, 0))

    def check(self) -> None:
        """Raise `MismatchError` if a tensor of which all parts were added is damaged."""
        for name, found in self._found.items():
            check_sum(self._path, name, found, self._expected[name])


def check_stored(reader: TensorReader, expected: Mapping[str, int]) -> None:
    """Read stored tensors whole; `MismatchError` for one whose CRC-32 is not the expected one."""
    for name, crc in expected.items():
        check_sum(reader.header.path, name, crc32_of(*reader.place(name)), crc)


def check_sum(path: Path, name: str, found: int, expected: int) -> None:
    """Raise `MismatchError` if the CRC-32 of a stored tensor is not the expected one."""
    if found != expected:
        raise MismatchError(
            f"{path}: tensor {name!r} is damaged: its checksum is {found:08x}, "
            f"expected {expected:08x}"
        )
