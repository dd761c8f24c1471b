"""What a warp sees when kernels run on the CPU: 32-lane registers, checked memory, barriers.

The models of cuda_kernels.ptx work on these; `cuda_kernels.emulator.run` runs whole kernels.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

LANES = 32
GLOBAL_BASE = 0x10000
PATIENCE_S = 60  # that a warp waits at a barrier
POISON = 0xFFFFFFFF  # an all-ones float is a NaN: reading what was never written shows


class Lanes(np.ndarray[Any, Any]):
    """One register of the 32 lanes of a warp. A branch must take all lanes the same way."""

    def __bool__(self) -> bool:
        values = np.asarray(self)
        if (values != values.flat[0]).any():
            raise AssertionError("a branch diverges inside a warp")
        return bool(values.flat[0])

    def __index__(self) -> int:
        values = np.asarray(self)
        if (values != values.flat[0]).any():
            raise AssertionError("lanes disagree on an index")
        return int(values.flat[0])

    __hash__ = None


def lanes(value: Any, dtype: Any) -> Lanes:
    """Spread a scalar, or convert a register, to 32 lanes of ``dtype``."""
    array = np.asarray(value)
    if array.dtype == object or array.dtype.kind == "i":  # Python ints wrap as registers do
        bits = 8 * np.dtype(dtype).itemsize
        array = np.asarray(array.astype(object) & ((1 << bits) - 1))
    return np.broadcast_to(array.astype(dtype), (LANES,)).copy().view(Lanes)


class Memory:
    """Bytes at ``base``; every access must be aligned and inside."""

    def __init__(self, size: int, base: int, fill: int = 0xFF):
        self.bytes = np.full(size, fill, np.uint8)
        self.base = base

    def _places(self, address: Any, width: int, active: np.ndarray) -> np.ndarray:
        start = np.asarray(lanes(address, np.uint64)).astype(np.int64) - self.base
        used = start[active]
        if used.size and (used.min() < 0 or used.max() + width > self.bytes.size):
            raise AssertionError(f"access of {width} bytes outside memory at {used.min()}")
        if (used % width).any():
            raise AssertionError(f"misaligned access of {width} bytes")
        return np.where(active, start, 0)[:, None] + np.arange(width)

    def load(
        self, address: Any, words: int, dtype: Any = np.uint32, active: Any = True
    ) -> tuple[Lanes, ...]:
        """``words`` registers from each lane's address; inactive lanes read poison."""
        active = np.broadcast_to(np.asarray(active, bool), (LANES,))
        size = np.dtype(dtype).itemsize
        places = self._places(address, size * words, active)
        self._loaded(places[active], np.flatnonzero(active))
        values = self.bytes[places % self.bytes.size].view(dtype)
        poison = np.array([POISON], np.uint32).view(np.uint8)[:size].view(dtype)
        values = np.where(active[:, None], values, poison)
        return tuple(np.ascontiguousarray(values[:, i]).view(Lanes) for i in range(words))

    def store(
        self,
        address: Any,
        registers: tuple[Any, ...],
        dtype: Any = np.uint32,
        active: Any = True,
    ) -> None:
        """Write each lane's registers at its address."""
        self.begin_store(address, registers, dtype, active)()

    def begin_store(
        self,
        address: Any,
        registers: tuple[Any, ...],
        dtype: Any = np.uint32,
        active: Any = True,
    ) -> Callable[[], None]:
        """Check a store and return the function that makes it."""
        active = np.broadcast_to(np.asarray(active, bool), (LANES,))
        data = np.stack([np.asarray(lanes(r, dtype)) for r in registers], axis=1)
        octets = np.ascontiguousarray(data).view(np.uint8)
        places = self._places(address, octets.shape[1], active)[active]
        self._stored(places, np.flatnonzero(active))

        def land() -> None:
            self.bytes[places] = octets[active]

        return land

    def _loaded(self, places: np.ndarray, lanes: np.ndarray) -> None:
        """See which bytes each of some lanes reads."""

    def _stored(self, places: np.ndarray, lanes: np.ndarray) -> None:
        """See which bytes each of some lanes writes."""


class GlobalMemory(Memory):
    """Memory that all blocks share: no byte of it may be written by two of them."""

    def __init__(self, size: int, base: int):
        super().__init__(size, base)
        self._writer = np.zeros(size, np.int32)

    def _stored(self, places: np.ndarray, lanes: np.ndarray) -> None:
        others = self._writer[places]
        if ((others != 0) & (others != WARP.block)).any():
            raise AssertionError("two blocks write the same place in global memory")
        self._writer[places] = WARP.block


class Warp(threading.local):
    """The state that the models of this thread's warp use: set by the emulator."""

    def bind(
        self,
        memory: Memory,
        cluster: list[Any],
        place: tuple[int, int, int],
        barriers: tuple[threading.Barrier, threading.Barrier],
        clocks: Any,
    ) -> None:
        """Attach to global memory and the shared memories of the cluster.

        place: (rank in the cluster, number of the block in the grid from 1, of the warp in the
            cluster).
        barriers: of the block and of the cluster.
        clocks: `cuda_kernels.emulator.races.Clocks` of the cluster.
        """
        self.memory, self.cluster, self.clocks = memory, cluster, clocks
        self.rank, self.block, self.number = place
        self.block_barrier, self.cluster_barrier = barriers
        self._copies: list[list[Callable[[], None]]] = [[]]

    @property
    def shared(self) -> Memory:
        """Shared memory of this warp's own block."""
        memory: Memory = self.cluster[self.rank]
        return memory

    # --- asynchronous copies: they land as late as they may -------------------------------------

    def start_copy(self, to: Any, words: tuple[Any, ...], active: Any) -> None:
        """Start to copy words to shared memory."""
        self._copies[-1].append(self.shared.begin_store(to, words, active=active))

    def end_group(self) -> None:
        """The copies since the last call are a group."""
        self._copies.append([])

    def land_copies(self, groups: int) -> None:
        """Land all groups but the last ``groups``."""
        while len(self._copies) - 1 > groups:
            for land in self._copies.pop(0):
                land()


WARP = Warp()
