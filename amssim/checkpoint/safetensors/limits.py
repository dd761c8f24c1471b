"""Limits of a file, for what is to be written: asked before any work is done."""

from __future__ import annotations

from collections.abc import Collection

from amssim.checkpoint.safetensors.header import (
    MAX_NAME_BYTES,
    MAX_RANK,
    MAX_TENSORS,
    TensorInfo,
    TensorSpec,
)
from amssim.checkpoint.safetensors.strict_json import MAX_JSON_BYTES
from amssim.errors import UnsupportedError


def check_header_limits(
    tensors: Collection[TensorSpec | TensorInfo], header_bytes: int, where: object
) -> None:
    """Raise `UnsupportedError` for a file that no reader would take, ours among them.

    Args:
        tensors: what it would store, under the names in the file.
        header_bytes: size of the header with its metadata, without the 8 bytes of its length.
        where: the file, as it begins the sentence.
    """
    for tensor in tensors:
        size = len(tensor.name.encode())
        if size > MAX_NAME_BYTES:
            raise UnsupportedError(
                f"{where}: the name {tensor.name[:40]!r}... would have {size} bytes, at most "
                f"{MAX_NAME_BYTES} are read: keep the tensor by a rule, or rename it"
            )
        if len(tensor.shape) > MAX_RANK:
            raise UnsupportedError(
                f"{where}: {tensor.name[:40]!r} would have {len(tensor.shape)} dimensions, at most "
                f"{MAX_RANK} are read"
            )
    if len(tensors) > MAX_TENSORS:
        raise UnsupportedError(
            f"{where} would hold {len(tensors)} tensors, at most {MAX_TENSORS} are read: split it"
        )
    check_json_limit(header_bytes, f"{where}: the header")


def check_json_limit(nbytes: int, where: str) -> None:
    """Raise `UnsupportedError` for JSON that is longer than any that is read."""
    if nbytes > MAX_JSON_BYTES:
        raise UnsupportedError(
            f"{where} would have {nbytes} bytes, at most {MAX_JSON_BYTES} are read: split the "
            "tensors into more files"
        )
