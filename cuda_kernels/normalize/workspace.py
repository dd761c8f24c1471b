"""Memory for normalised activations: one per device and stream, for all matrices.

Work on a stream is done in order, so that the activations of a product may lie where those of the
product before it lay. What must not happen between a launch that writes them and the launch that
reads them is another thread's launch on that stream: a workspace has a lock for both.

A workspace that is too small is replaced by one at least twice as large and then *kept*, because
launches that are queued, and CUDA graphs that have captured its address, still use it. Together
all that were outgrown are smaller than the one in use. Nothing is freed before the process ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from cuda_kernels.arrays import address_of, room

SMALLEST_BYTES = 1 << 20


class Workspace:
    """Memory of one device and stream.

    Args:
        allocate: bytes -> a Numba array of so many on the device.

    Attributes:
        lock: to be held from `room` until what uses the room has been launched.
    """

    def __init__(self, allocate: Callable[[int], Any]):
        self.lock = threading.Lock()
        self._allocate = allocate
        self._arrays: list[Any] = []  # the last is in use
        self._address = self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes on the device, those that were outgrown included."""
        return sum(array.nbytes for array in self._arrays)

    def room(self, nbytes: int) -> int:
        """Address of ``nbytes``, aligned to 256; the same as before if that was enough."""
        if nbytes > self._nbytes:
            self._grow(max(nbytes, 2 * self._nbytes, SMALLEST_BYTES))
        return self._address

    def _grow(self, nbytes: int) -> None:
        array = self._allocate(nbytes)
        self._arrays.append(array)
        self._address, self._nbytes = address_of(array), nbytes


@cache
def workspace_of(device: int, stream: int) -> Workspace:
    """The workspace of a device, by ordinal, and a stream, by handle."""
    return Workspace(lambda nbytes: room(nbytes, "u1"))
