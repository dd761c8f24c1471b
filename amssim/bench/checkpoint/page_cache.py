"""Files out of the system's page cache, so that the next reader waits for the disk."""

from __future__ import annotations

import os
from pathlib import Path


def drop(folder: Path) -> bool:
    """Ask the system to forget the files of ``folder``; return whether it did.

    A file system in memory cannot. One page of every file is looked at.
    """
    dropped = [_drop_file(path) for path in sorted(folder.iterdir())]
    return all(dropped)


def _drop_file(path: Path) -> bool:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)  # only pages that are on the disk can be dropped
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        return not _is_cached(file, os.fstat(file).st_size // 2)
    finally:
        os.close(file)


def _is_cached(file: int, position: int) -> bool:
    try:
        os.preadv(file, [bytearray(1)], position, os.RWF_NOWAIT)
    except OSError:  # it would wait for the disk, or the file system does not tell
        return False
    return True
