"""Races in shared memory, found on the CPU: what orders two accesses?

Every warp has a vector clock (Lamport, Mattern); barriers join clocks. Two accesses to a word by
different warps, of which one writes, race unless the later one's warp has heard of the earlier one
through a barrier. Two accesses by different lanes of a warp race unless the lanes have met between
them, in *steps* of the warp. An asynchronous copy writes from its start on.
"""

import threading

import numpy as np

from cuda_kernels.emulator.lanes import PATIENCE_S, WARP, Memory

WORD = 4  # bytes that are watched together
SEVERAL = -1  # lanes that have read a word


class Clocks:
    """Vector clocks of the warps of a cluster; row w is what warp w has heard of the others.

    ``steps`` counts how often the lanes of a warp have met.
    """

    def __init__(self, warps: int):
        self.heard, self.steps = np.eye(warps, dtype=np.int64), np.ones(warps, np.int64)

    def join(self, warps: slice) -> None:
        """All of these warps hear of each other, at a barrier."""
        self.heard[warps] = self.heard[warps].max(0)
        self.steps[warps] += 1
        self.go_on(np.arange(self.heard.shape[0])[warps])

    def go_on(self, warps: np.ndarray | int) -> None:
        """What these warps do next nobody has heard of."""
        self.heard[warps, warps] += 1

    def meet(self, warp: int) -> None:
        """The lanes of a warp wait for each other."""
        self.steps[warp] += 1


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
            WARP.clocks.meet(WARP.number)


class SharedMemory(Memory):
    """Shared memory of a block in which no two warps of the cluster, nor lanes, may race."""

    def __init__(self, size: int, warps: int):
        super().__init__(size, 0)
        words = -(-size // WORD)
        self._writer, self._written = np.zeros(words, np.int64), np.zeros(words, np.int64)
        self._read = np.zeros((warps, words), np.int64)
        #: Of the last write by a warp, and of its reads in that step: step and lane.
        self._write_step, self._write_lane = np.zeros(words, np.int64), np.zeros(words, np.int8)
        self._read_step = np.zeros((warps, words), np.int64)
        self._read_lane = np.zeros((warps, words), np.int8)
        self._lock = threading.Lock()
        self.barriers: dict[int, PhaseBarrier] = {}

    def make_barrier(self, place: int, count: int) -> None:
        """Make the barrier at ``place``, 8 bytes that hold nothing else."""
        if place % 8 or not 0 <= place <= self.bytes.size - 8:
            raise AssertionError(f"no room for a barrier at {place}")
        self.barriers[place] = PhaseBarrier(count)

    def _loaded(self, places: np.ndarray, lanes: np.ndarray) -> None:
        words, lane = _words_of(places, lanes)
        heard, step = WARP.clocks.heard[WARP.number], WARP.clocks.steps[WARP.number]
        with self._lock:
            self._check_writes(words, lane, heard, step, "reads")
            self._read[WARP.number, words] = heard[WARP.number]
            steps, readers = self._read_step[WARP.number], self._read_lane[WARP.number]
            others = (steps[words] == step) & (readers[words] != lane)
            steps[words], readers[words] = step, lane
            others |= readers[words] != lane
            readers[words[others]] = SEVERAL

    def _stored(self, places: np.ndarray, lanes: np.ndarray) -> None:
        words, lane = _words_of(places, lanes)
        heard, step = WARP.clocks.heard[WARP.number], WARP.clocks.steps[WARP.number]
        with self._lock:
            self._check_writes(words, lane, heard, step, "writes")
            unheard = (self._read[:, words] > heard[:, None]).any(0)
            self._fail_at(words, unheard, "writes", "another warp reads")
            steps, readers = self._read_step[WARP.number], self._read_lane[WARP.number]
            unmet = (steps[words] == step) & (readers[words] != lane)
            self._fail_at(words, unmet, "writes", "another of its lanes reads")
            self._writer[words], self._written[words] = WARP.number, heard[WARP.number]
            self._write_step[words], self._write_lane[words] = step, lane
            self._fail_at(words, self._write_lane[words] != lane, "writes", "two lanes write")

    def _check_writes(
        self, words: np.ndarray, lane: np.ndarray, heard: np.ndarray, step: int, what: str
    ) -> None:
        writer = self._writer[words]
        self._fail_at(words, self._written[words] > heard[writer], what, "another warp writes")
        unmet = (writer == WARP.number) & (self._write_step[words] == step)
        unmet &= self._write_lane[words] != lane
        self._fail_at(words, unmet, what, "another of its lanes writes")

    def _fail_at(self, words: np.ndarray, racing: np.ndarray, what: str, other: str) -> None:
        if racing.any():
            raise AssertionError(
                f"a race: warp {WARP.number} {what} shared memory at {WORD * words[racing][0]} "
                f"that {other}, and no barrier is between them"
            )


def _words_of(places: np.ndarray, lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The words at ``places``, bytes of each of ``lanes``, and the lane of each word."""
    words = places[:, ::WORD] // WORD
    return words.ravel(), np.repeat(lanes, words.shape[1]).astype(np.int8)
