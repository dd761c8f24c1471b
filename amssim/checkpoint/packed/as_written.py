"""What quantising never writes, and so is never in a file that is as it was written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from amssim.checkpoint.packed.manifest import Manifest
from amssim.checkpoint.safetensors.header import Header
from amssim.checkpoint.safetensors.writer import header_bytes
from amssim.codec.constants import SMALLEST_SCALE
from amssim.errors import FormatError
from amssim.tensor.packed import PackedTensor
from amssim.tensor.quantize import pack, unpack


def check_as_written(
    packed: PackedTensor, path: Path, name: str, *, threads: int | None = None
) -> None:
    """Check rows of tensor ``name`` in the file ``path`` against docs/FORMAT.md.

    Raises:
        FormatError: padding bits that are set, a code that is negative zero, or a scale below the
            smallest normal float32; all of them are decoded, and none is ever written.
    """
    where = f"{path}: packed tensor {name!r}"
    codes = unpack(packed.words, packed.scheme, packed.shape[1], threads=threads)
    if not np.array_equal(pack(codes, packed.scheme, threads=threads), packed.words):
        raise FormatError(f"{where} has padding bits set")
    negative_zero = 1 << (packed.scheme.minifloat.bits - 1)
    if (codes == negative_zero).any():
        raise FormatError(f"{where} holds negative zero, a code that is never written")
    if packed.scales.min() < SMALLEST_SCALE:
        raise FormatError(
            f"{where} has the scale {packed.scales.min()!s}, expected at least {SMALLEST_SCALE!s}"
        )


def check_header_as_written(header: Header, manifest: Manifest) -> None:
    """Raise `FormatError` if a header says what it says in another form than amssim gives it."""
    tensors = header.tensors.values()
    written = header_bytes(tensors, manifest.metadata(tensors))
    if hashlib.sha256(written).hexdigest() != header.digest:
        raise FormatError(f"{header.path}: the header is not written as amssim writes it")
