"""A file of finished tasks that grows by whole lines; a damaged end is cut off, not believed.

Each line is ``{"crc32":"89abcdef","line":{...}}``, the checksum that of the canonical JSON of
``line``. A line is one write, so a killed process leaves at most one torn line, the last.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import zlib
from typing import Any

from amssim.checkpoint.safetensors.folder import Folder, write_all
from amssim.checkpoint.safetensors.strict_json import canonical_json
from amssim.errors import OutputError


def encode_line(line: dict[str, Any]) -> bytes:
    """Return a line with its checksum and its end."""
    text = canonical_json(line)
    return f'{{"crc32":"{zlib.crc32(text.encode()):08x}","line":{text}}}\n'.encode()


def decode_lines(raw: bytes) -> tuple[list[dict[str, Any]], int]:
    """Return the lines up to the first that is damaged, and the bytes that they take.

    >>> decode_lines(encode_line({"a": 1}) + b'{"crc32":"00')
    ([{'a': 1}], 36)
    """
    lines, end = [], 0
    while (stop := raw.find(b"\n", end)) >= 0:
        try:
            line = json.loads(raw[end:stop])["line"]
            whole = isinstance(line, dict) and encode_line(line) == raw[end : stop + 1]
        except (ValueError, KeyError, TypeError, RecursionError):
            break
        if not whole:
            break
        lines.append(line)
        end = stop + 1
    return lines, end


def read_lines(folder: Folder, name: str) -> tuple[list[dict[str, Any]], int]:
    """Return the whole lines of a file in ``folder`` and the bytes that they take."""
    if not folder.holds(name):
        return [], 0
    return decode_lines(folder.read(name, -1))


class ProgressLines:
    """One writer's file; threads may share it, a second process is refused."""

    def __init__(self, folder: Folder, name: str):
        self._thread_lock = threading.Lock()
        self._fd = folder.open_file(name, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise OutputError(
                f"another process writes {folder.path / name} ({error.strerror}): wait for it, or "
                "give each process a part of its own"
            ) from None
        _, self._end = read_lines(folder, name)
        os.ftruncate(self._fd, self._end)

    def append(self, line: dict[str, Any]) -> None:
        """Add a line at once; where the disk is full, the file stays as it was."""
        raw = encode_line(line)
        with self._thread_lock:
            try:
                write_all(self._fd, raw)
            except OSError:
                os.ftruncate(self._fd, self._end)
                raise
            self._end += len(raw)

    def close(self) -> None:
        """Bring the lines to the disk and let others write; harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
