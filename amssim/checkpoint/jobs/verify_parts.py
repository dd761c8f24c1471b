"""Verifying some rows of a tensor, or some bytes of one that is stored plainly."""

from __future__ import annotations

import threading
import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add

import numpy as np

from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.convert import packed_rows
from amssim.checkpoint.jobs.pieces import Piece, pieces_of, ranges, read_pieces, weights_of
from amssim.checkpoint.jobs.pool import Work
from amssim.checkpoint.jobs.readers import Readers
from amssim.checkpoint.jobs.shard import combined
from amssim.checkpoint.jobs.source_check import SourceCheck
from amssim.checkpoint.packed.as_written import check_as_written
from amssim.checkpoint.packed.stored import LogicalTensor
from amssim.checkpoint.packed.sums import check_stored, check_sum
from amssim.checkpoint.safetensors.header import Header
from amssim.checkpoint.safetensors.reader import TensorReader
from amssim.errors import FormatError
from amssim.metrics import Metrics

_NO_HISTOGRAM = np.empty(0, np.int64)


class Errors:
    """The error of every packed tensor, and of all together; without a histogram for each."""

    def __init__(self) -> None:
        self.by_tensor: dict[str, Metrics] = {}
        self._histogram, self._lock = Metrics().error_histogram, threading.Lock()

    def add(self, name: str, error: Metrics) -> None:
        """Take that of a tensor."""
        with self._lock:
            self._histogram += error.error_histogram
            self.by_tensor[name] = error.settled()

    @property
    def total(self) -> Metrics:
        """Those of all, added in the order of names."""
        own = [replace(self.by_tensor[name], _known_p99=None) for name in sorted(self.by_tensor)]
        total = reduce(add, own, Metrics(error_histogram=_NO_HISTOGRAM))
        return replace(total, error_histogram=self._histogram)


@dataclass
class TensorCheck:
    """One tensor while its parts are verified, by any threads; ``number`` is that of its first.

    If there is a source, ``errors`` is given the error of a packed tensor.
    """

    header: Header
    tensor: LogicalTensor
    source: SourceCheck | None
    errors: Errors
    readers: Readers
    number: int
    parts: list[tuple[int, int]] = field(default_factory=list)
    _crcs: dict[int, tuple[list[Piece], tuple[int, ...]]] = field(default_factory=dict)
    _errors: dict[int, Metrics] = field(default_factory=dict)
    _histogram: np.ndarray = field(default_factory=lambda: _NO_HISTOGRAM)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.parts = list(ranges(self.tensor, as_bytes=self.as_bytes))

    @property
    def as_bytes(self) -> bool:
        """Whether its parts are bytes, not rows."""
        return self.tensor.packing is None

    def weights(self, at: int) -> int:
        """Return how many weights a part has."""
        return weights_of(self.tensor, *self.parts[at], as_bytes=self.as_bytes)

    def add(self, at: int, pieces: list[Piece], crcs: tuple[int, ...], error: Metrics) -> None:
        """Take what was found of a part; after the last, check sums and add up errors."""
        with self._lock:
            self._crcs[at] = pieces, crcs
            if error.count:
                self._errors[at] = replace(error, error_histogram=_NO_HISTOGRAM)
                first = not self._histogram.size
                histogram = error.error_histogram
                self._histogram = histogram if first else self._histogram + histogram
            if len(self._crcs) < len(self.parts):
                return
        self.finish()

    def finish(self) -> None:
        """Compare checksums with those stated; what has no bytes has the sum 0."""
        found = combined(self._crcs[at] for at in sorted(self._crcs))
        for name, expected in self.tensor.sums.items():
            check_sum(self.header.path, name, found.get(name, 0), expected)
        if self._errors:
            total = reduce(add, (self._errors[at] for at in sorted(self._errors)))
            self.errors.add(self.tensor.name, replace(total, error_histogram=self._histogram))
        self._crcs, self._errors, self._histogram = {}, {}, _NO_HISTOGRAM


@dataclass(frozen=True)
class VerifyPart:
    """Work: reads a part, checks that it is as written, and compares it with the source."""

    check: TensorCheck
    at: int
    news: deque[tuple[str, int]]
    waits: bool = False

    @property
    def number(self) -> int:
        """Parts are in the order of tensors."""
        return self.check.number + self.at

    def run(self, room: Buffers) -> Iterable[Work]:
        """Do it."""
        check, (start, stop) = self.check, self.check.parts[self.at]
        pieces = pieces_of(check.tensor, start, stop, as_bytes=check.as_bytes)
        with check.readers.reader(check.header) as reader:
            read = read_pieces(reader, pieces, room)
            crcs = tuple(zlib.crc32(raw.data) for raw in read)
            try:
                error = self._look(reader, read, room)
            except FormatError:
                check_stored(reader, check.tensor.sums)  # damage is told from what was written so
                raise
            reader.check_stamps()
        check.add(self.at, pieces, crcs, error)
        self.news.append((check.tensor.name, check.weights(self.at)))
        return []

    def _look(self, reader: TensorReader, read: list[np.ndarray], room: Buffers) -> Metrics:
        tensor, source = self.check.tensor, self.check.source
        start, _ = self.check.parts[self.at]
        if tensor.packing is None:
            if source:
                source.check_kept(tensor, start, read[0], room)
            return Metrics()
        packed = packed_rows(reader, tensor, read)
        check_as_written(packed, reader.header.path, tensor.name, threads=1)
        return source.check_packed(tensor, start, packed, room) if source else Metrics()
