"""The tensors of a safetensors checkpoint, read one at a time, for measuring."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path

import ml_dtypes  # noqa: F401  registers bfloat16, which safetensors needs
import numpy as np
from safetensors import SafetensorError, safe_open

from amssim.errors import FormatError, InputError

INDEX = "model.safetensors.index.json"
_KEPT = re.compile(r"embed|lm_head|norm|rotary|\bwte\b|\bwpe\b")


class Tensors(Mapping):
    """Float tensors of a ``.safetensors`` file or a directory of shards, by name, as float32.

    Nothing is read before it is asked for, and nothing is kept.

    Raises:
        FormatError: a path, index or file that is not such a checkpoint.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._files = _files_by_name(self.path)

    def __getitem__(self, name: str) -> np.ndarray:
        with _opened(self._files[name]) as file:
            found = file.get_tensor(name)
        return found.astype(np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def size(self, name: str) -> int:
        """Return the number of elements of a tensor, without reading it."""
        with _opened(self._files[name]) as file:
            return prod(file.get_slice(name).get_shape())

    def linear_names(self) -> list[str]:
        """Names of the weights of linear layers: float matrices that are no embedding or norm.

        Raises:
            InputError: there is none.
        """
        found = [name for name in self if self._is_linear(name)]
        if not found:
            raise InputError(
                f"{self.path} holds no weights of linear layers among {len(self)} tensors: "
                "expected 2-D float tensors other than embeddings, norms and lm_head"
            )
        return found

    def _is_linear(self, name: str) -> bool:
        if _KEPT.search(name) or name.endswith("bias"):
            return False
        with _opened(self._files[name]) as file:
            part = file.get_slice(name)
            shape, dtype = part.get_shape(), part.get_dtype()
        return len(shape) == 2 and min(shape) > 1 and dtype in ("F16", "BF16", "F32", "F64")


def _files_by_name(path: Path) -> dict[str, Path]:
    if path.is_file():
        files = [path]
    elif (path / INDEX).is_file():
        files = _shards(path)
    else:
        files = sorted(path.glob("*.safetensors"))
    if not files:
        raise FormatError(
            f"{path} is no checkpoint: expected a .safetensors file or a directory with one"
        )
    found = {}
    for file in files:
        with _opened(file) as opened:
            found |= dict.fromkeys(opened.keys(), file)
    return dict(sorted(found.items()))


def _shards(path: Path) -> list[Path]:
    try:
        index = json.loads((path / INDEX).read_text())["weight_map"]
        names = sorted(set(index.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{path / INDEX} is no safetensors index: {error!r}") from None
    if any(Path(name).name != name for name in names):
        raise FormatError(f"{path / INDEX} names a file outside its directory: {names}")
    return [path / name for name in names]


def _opened(file: Path):
    try:
        return safe_open(file, "np")
    except (OSError, SafetensorError) as error:
        raise FormatError(f"{file} cannot be read as safetensors: {error}") from None
