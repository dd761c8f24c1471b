"""Readers of many files, each opened once and shared by all threads, few open at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amssim.checkpoint.safetensors.header import Header
from amssim.checkpoint.safetensors.reader import TensorReader

_MOST_IDLE = 16


class Readers:
    """Opening a file compares its whole header, so a reader is kept for the next part."""

    def __init__(self) -> None:
        self._open: dict[Path, TensorReader] = {}
        self._users: dict[Path, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def reader(self, header: Header) -> Iterator[TensorReader]:
        """Lend the reader of a file; `MismatchError` if the file is not that of ``header``."""
        path = header.path
        with self._lock:
            if path not in self._open:
                self._open[path] = TensorReader(header)
            self._users[path] = self._users.get(path, 0) + 1
            reader = self._open[path]
        try:
            yield reader
        finally:
            with self._lock:
                self._users[path] -= 1
                self._close_idle(_MOST_IDLE)

    def close(self) -> None:
        """Close all that nobody uses."""
        with self._lock:
            self._close_idle(0)

    def _close_idle(self, most: int) -> None:
        idle = [path for path in self._open if not self._users[path]]
        for path in idle[: max(0, len(idle) - most)]:
            self._open.pop(path).close()
