"""Every byte of a checkpoint against its checksum, before a loader that knows none reads it."""

from __future__ import annotations

from amssim._threads import available_cpus, over_rows
from amssim.checkpoint.packed.catalog import Catalog
from amssim.checkpoint.packed.sums import check_stored
from amssim.checkpoint.safetensors.reader import TensorReader


def check_sums(catalog: Catalog) -> None:
    """Read the whole of ``catalog``, by as many threads as there are CPUs.

    Raises:
        MismatchError: a tensor that is damaged. Files without checksums are not read.
    """
    tensors = [(header, tensor) for header, tensor in catalog if tensor.sums]

    def check(start: int, stop: int) -> None:
        for header, tensor in tensors[start:stop]:
            with TensorReader(header) as reader:
                check_stored(reader, tensor.sums)

    if tensors:
        over_rows(check, len(tensors), available_cpus())
