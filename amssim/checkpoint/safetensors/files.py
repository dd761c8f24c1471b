"""Opening what a checkpoint directory names: regular files only, whatever the name leads to."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from amssim.errors import FormatError, InputError

#: As many bytes of JSON as the safetensors library admits in a header.
MAX_JSON_BYTES = 100_000_000
CHUNK_BYTES = 1 << 22


class Stamp(NamedTuple):
    """Size in bytes and time of the last change of a file, to notice that it changed."""

    size: int
    mtime_ns: int


def stamp(path: Path) -> Stamp:
    """Return the stamp of a regular file; links are followed.

    Raises:
        FormatError: a directory, pipe or device, which is not opened.
        InputError: nothing there, or not accessible.
    """
    try:
        found = os.stat(path)  # noqa: PTH116  one call for kind, size and time
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise InputError(f"{str(path)!r} is not a file name") from None
    if not stat.S_ISREG(found.st_mode):
        raise FormatError(f"{path} is not a regular file")
    return Stamp(found.st_size, found.st_mtime_ns)


def read_whole(path: Path, limit: int = MAX_JSON_BYTES) -> bytes:
    """Return the bytes of a small regular file; `FormatError` if it exceeds ``limit`` bytes."""
    size = stamp(path).size
    if size > limit:
        raise FormatError(f"{path} is too large: {size} bytes, at most {limit} expected")
    return b"".join(read_chunks(path, 0, size))


def read_chunks(path: Path, start: int, stop: int) -> Iterator[bytes]:
    """Yield bytes ``start`` to ``stop`` of a file in pieces of at most `CHUNK_BYTES`.

    Raises:
        FormatError: the file ends before ``stop``.
        InputError: the file cannot be read.
    """
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  one code for str and Path
            file.seek(start)
            while start < stop:
                piece = file.read(min(CHUNK_BYTES, stop - start))
                if not piece:
                    raise FormatError(f"{path} ends at byte {start}, expected {stop} bytes")
                start += len(piece)
                yield piece
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
