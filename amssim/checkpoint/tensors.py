"""The tensors of a safetensors checkpoint as float32, read one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path

import numpy as np

from amssim.checkpoint import open_checkpoint
from amssim.checkpoint.jobs.rules import choose
from amssim.checkpoint.packed.contents import read_contents
from amssim.checkpoint.safetensors.source import read_checkpoint
from amssim.errors import InputError
from amssim.scheme import FP5_33
from amssim.tensor.packed import PackedTensor


class Tensors(Mapping[str, np.ndarray]):
    """A ``.safetensors`` file or a directory of shards, plain or written by amssim, by name.

    Nothing is read before it is asked for, and nothing is kept.

    Raises:
        AmsError: a path that is no such checkpoint, or one that is damaged.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._stored = open_checkpoint(path)

    def __getitem__(self, name: str) -> np.ndarray:
        found = self._stored[name]
        packed = isinstance(found, PackedTensor)
        return found.dequantize() if packed else found.astype(np.float32)

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def linear_sizes(self) -> dict[str, int]:
        """Return the number of weights of each tensor that is packed or that packing would pick.

        Raises:
            InputError: there is none.
        """
        contents = read_contents(read_checkpoint(self.path))
        found = {c.name: c.weights for _, c in contents.items() if c.packing}
        plain = {i.name: i for _, i in contents.checkpoint.items() if i.name in self._stored}
        choices = choose(plain.values(), (), FP5_33)
        found |= {n: prod(plain[n].shape) for n, choice in choices.items() if choice.scheme}
        if not found:
            raise InputError(
                f"{self.path} holds no weights of linear layers among {len(self)} tensors: "
                "expected 2-D float tensors other than embeddings, norms and the output head"
            )
        return dict(sorted(found.items()))
