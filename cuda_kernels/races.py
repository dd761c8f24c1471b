"""Races in shared memory, found on the CPU: what orders two accesses of different warps?

Every warp has a vector clock (Lamport, Mattern); barriers join clocks. Two accesses to a word of
which one writes race unless the later one's warp has heard of the earlier one through a barrier.
The lanes of a warp count as one, and an asynchronous copy writes from its start on.
"""

import threading

import numpy as np

from cuda_kernels.lanes import PATIENCE_S, WARP, Memory

WORD = 4  # bytes that are watched together


class Clocks:
    """Vector clocks of the warps of a cluster; row w is what warp w has heard of the others."""

    def __init__(self, warps: int):
        self.heard = np.eye(warps, dtype=np.int64)

    def join(self, warps: slice) -> None:
        """All of these warps hear of each other, at a barrier."""
        self.heard[warps] = self.heard[warps].max(0)
        self.go_on(np.arange(self.heard.shape[0])[warps])

    def go_on(self, warps) -> None:
        """What these warps do next nobody has heard of."""
        self.heard[warps, warps] += 1


class PhaseBarrier:
    """A barrier in shared memory whose phases end after ``count`` arrivals."""

    def __init__(self, count: int):
        self._count, self._left, self._phase = count, count, 0
        self._coming = self._heard = 0
        self._changed = threading.Condition()

    def arrive(self) -> None:
        """One arrival; the last of a phase begins the next."""
        with self._changed:
            self._coming = np.maximum(self._coming, WARP.clocks.heard[WARP.number])
            WARP.clocks.go_on(WARP.number)
            self._left -= 1
            if self._left == 0:
                self._left, self._phase = self._count, self._phase + 1
                self._heard, self._coming = self._coming, 0
                self._changed.notify_all()

    def wait(self, parity: int) -> None:
        """Wait until the phase of that parity, the current or the one before, has ended."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._phase & 1 != parity, PATIENCE_S):
                raise AssertionError("a phase of a barrier in shared memory never ends")
            mine = WARP.clocks.heard[WARP.number]
            np.maximum(mine, self._heard, out=mine)


class SharedMemory(Memory):
    """Shared memory of a block in which no two warps of the cluster may race."""

    def __init__(self, size: int, warps: int):
        super().__init__(size, 0)
        words = -(-size // WORD)
        self._writer, self._written = np.zeros(words, np.int64), np.zeros(words, np.int64)
        self._read = np.zeros((warps, words), np.int64)
        self._lock = threading.Lock()
        self.barriers: dict[int, PhaseBarrier] = {}

    def make_barrier(self, place: int, count: int) -> None:
        """Make the barrier at ``place``, 8 bytes that hold nothing else."""
        if place % 8 or not 0 <= place <= self.bytes.size - 8:
            raise AssertionError(f"no room for a barrier at {place}")
        self.barriers[place] = PhaseBarrier(count)

    def _loaded(self, places: np.ndarray) -> None:
        words = places[:, ::WORD].ravel() // WORD
        heard = WARP.clocks.heard[WARP.number]
        with self._lock:
            self._check_writes(words, heard, "reads")
            self._read[WARP.number, words] = heard[WARP.number]

    def _stored(self, places: np.ndarray) -> None:
        words = places[:, ::WORD].ravel() // WORD
        heard = WARP.clocks.heard[WARP.number]
        with self._lock:
            self._check_writes(words, heard, "writes")
            unheard = (self._read[:, words] > heard[:, None]).any(0)
            if unheard.any():
                self._fail(words[unheard][0], "writes", "reads")
            self._writer[words], self._written[words] = WARP.number, heard[WARP.number]

    def _check_writes(self, words: np.ndarray, heard: np.ndarray, what: str) -> None:
        unheard = self._written[words] > heard[self._writer[words]]
        if unheard.any():
            self._fail(words[unheard][0], what, "writes")

    def _fail(self, word: int, what: str, other: str) -> None:
        raise AssertionError(
            f"a race: warp {WARP.number} {what} shared memory at {WORD * word} that another warp "
            f"{other}, and no barrier is between them"
        )
