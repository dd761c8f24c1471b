"""Work that finishes a file whose tasks are done: header, reading it back, and the disk."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.pieces import TASK_BYTES, Piece, cut, read_pieces
from amssim.checkpoint.jobs.pool import Work
from amssim.checkpoint.jobs.shard import Shard
from amssim.checkpoint.safetensors.reader import TensorReader


@dataclass
class WriteHeader:
    """Writes the header and asks for reading back everything."""

    shard: Shard
    number: int
    waits: bool = False

    def run(self, room: Buffers) -> Iterable[Work]:
        """Do it."""
        self.shard.write_header()
        reader = self.shard.check_header()
        parts = [
            Piece(info.name, start, stop)
            for info in self.shard.job.tensors
            for start, stop in cut(0, info.nbytes, TASK_BYTES)
        ]
        back = _ReadBack(self.shard, reader, parts, self.number)
        return [ReadPart(back, at) for at in range(len(parts))] or back.finish()


@dataclass
class _ReadBack:
    shard: Shard
    reader: TensorReader
    parts: list[Piece]
    number: int
    crcs: dict[int, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, at: int, crc: int) -> bool:
        with self.lock:
            self.crcs[at] = crc
            return len(self.crcs) == len(self.parts)

    def finish(self) -> list[Work]:
        self.reader.check_unchanged()
        self.reader.close()
        self.shard.check_content(([p], (self.crcs[i],)) for i, p in enumerate(self.parts))
        return [Sync(self.shard, self.number)]


@dataclass
class ReadPart:
    """Reads some bytes back; the last one compares all checksums."""

    back: _ReadBack
    at: int
    waits: bool = False

    @property
    def number(self) -> int:
        """That of the file's last task."""
        return self.back.number

    def run(self, room: Buffers) -> Iterable[Work]:
        """Do it."""
        (raw,) = read_pieces(self.back.reader, [self.back.parts[self.at]], room)
        return self.back.finish() if self.back.add(self.at, zlib.crc32(raw.data)) else []


@dataclass
class Sync:
    """Waits until the file is on the disk, and closes it."""

    shard: Shard
    number: int
    waits: bool = True

    def run(self, room: Buffers) -> Iterable[Work]:
        """Do it."""
        self.shard.file.sync()
        self.shard.close()
        return []
