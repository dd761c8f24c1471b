"""One `PackedTensor` in a file of its own."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from amssim.checkpoint.packed.catalog import read_catalog
from amssim.checkpoint.packed.decode import read_packed
from amssim.checkpoint.packed.manifest import Manifest
from amssim.checkpoint.packed.stored import SCALES, SHAPE, WORDS, Packing, stored_specs
from amssim.checkpoint.safetensors.header import MAX_NAME_BYTES
from amssim.checkpoint.safetensors.space import check_space
from amssim.checkpoint.safetensors.staging import Staging
from amssim.checkpoint.safetensors.target import file_target
from amssim.checkpoint.safetensors.writer import place, write_file
from amssim.errors import InputError
from amssim.tensor.packed import PackedTensor


def save_packed(
    packed: PackedTensor, path: str | Path, *, name: str = "weight", overwrite: bool = False
) -> None:
    """Write ``packed`` to the safetensors file ``path``, whole or not at all.

    Args:
        packed: the tensor.
        path: the file, named ``*.safetensors``.
        name: the tensor's name; stored are ``<name>_packed``, ``<name>_scale``, ``<name>_shape``.
        overwrite: replace the file if it exists.

    Raises:
        InputError: a name that is empty, too long or no Unicode text.
        OutputError, ResourceError: a file that exists or cannot be written.
    """
    _check_name(name)
    packing = Packing(packed.scheme, packed.scale_block)
    tensors = place(stored_specs(name, packed.shape, packing))
    metadata = partial(Manifest({name: packing}).metadata, tensors)
    target = file_target(path, overwrite=overwrite)
    check_space(target.home, tensors[-1].stop)
    with Staging.open(target, {"run": ""}) as staging:
        content = {
            name + WORDS: packed.words,
            name + SCALES: packed.scales,
            name + SHAPE: np.array(packed.shape, "<i8"),
        }
        new = staging.create(target.path.name)
        write_file(new, target.path, tensors, content, metadata)
        read_catalog(staging.directory / target.path.name)
        staging.publish()


def _check_name(name: object) -> None:
    try:
        nbytes = len(name.encode()) if isinstance(name, str) else 0
    except UnicodeEncodeError:  # half of a surrogate pair
        nbytes = 0
    if not 0 < nbytes <= MAX_NAME_BYTES - len(WORDS):
        raise InputError(f"a tensor's name must be 1 to {MAX_NAME_BYTES} bytes, found {name!r}")


def load_packed(path: str | Path, *, name: str | None = None, verify: bool = True) -> PackedTensor:
    """Read a packed tensor back from a file or checkpoint.

    Args:
        path: a file of `save_packed`, or any checkpoint with packed tensors.
        name: which tensor; needed only where there are several.
        verify: check it against its checksum.

    Raises:
        FormatError, MismatchError: a damaged file.
        InputError: no packed tensor of that name, or several and no name.
    """
    packed = {
        tensor.name: (header, tensor) for header, tensor in read_catalog(path) if tensor.packing
    }
    if name is None and len(packed) == 1:
        name = next(iter(packed))
    if name is None or name not in packed:
        names = ", ".join(map(repr, sorted(packed)[:5])) or "none"
        asked = "which packed tensor to load" if name is None else f"no packed tensor {name!r}"
        raise InputError(f"{path}: {asked}: it holds {len(packed)} ({names})")
    return read_packed(*packed[name], verify=verify)
