"""Every byte of a checkpoint against its checksum, before a loader that knows none reads it."""

from __future__ import annotations

from amssim._threads import available_cpus, over_rows
from amssim.checkpoint.packed.catalog import Catalog
from amssim.checkpoint.packed.stored import LogicalTensor
from amssim.checkpoint.packed.sums import check_sum
from amssim.checkpoint.safetensors.checksum import crc32_of
from amssim.checkpoint.safetensors.header import Header
from amssim.checkpoint.safetensors.reader import TensorReader


def check_sums(catalog: Catalog) -> None:
    """Read the whole of ``catalog``, by as many threads as there are CPUs.

    Raises:
        MismatchError: a tensor that is damaged. Files without checksums are not read.
    """
    tensors = [(header, tensor) for header, tensor in catalog if tensor.sums]

    def check(start: int, stop: int) -> None:
        for header, tensor in tensors[start:stop]:
            _check(header, tensor)

    if tensors:
        over_rows(check, len(tensors), available_cpus())


def _check(header: Header, tensor: LogicalTensor) -> None:
    with TensorReader(header) as reader:
        for name, expected in tensor.sums.items():
            check_sum(header.path, name, crc32_of(*reader.place(name)), expected)
