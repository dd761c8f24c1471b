"""One file, opened once: everything is read by position from one descriptor, nothing is mapped.

A file that is cut off, grows or is replaced meanwhile is therefore a sentence, never a signal, and
what was checked is what is read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from amssim.errors import FormatError, InputError, MismatchError, ResourceError, UnsafePathError

CHUNK_BYTES = 1 << 22

# Without waiting for the other end of a pipe that took the file's place after it was looked at.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Stamp(NamedTuple):
    """Size in bytes, time of the last change, and identity of a file: to notice a change.

    Device and inode hold for one machine and while the file is open: another machine numbers
    devices differently, and some network disks number a file anew each time that it is opened.
    """

    size: int
    mtime_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """Return the stamp of what `os.stat` says."""
        return cls(status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino)

    def same_version(self, other: Stamp) -> bool:
        """Whether size and time of the last change agree, all that outlives closing a file."""
        return (self.size, self.mtime_ns) == (other.size, other.mtime_ns)


class OpenFile:
    """A regular file open for reading, from any number of threads; a context that closes it.

    Args:
        path: links are followed,
        follow_links: unless this is False, which refuses a path that is a link itself.

    Raises:
        FormatError: a directory, pipe or device, which is not opened.
        InputError: nothing there, or not accessible.
        ResourceError: too many files are open.
        UnsafePathError: a link, and ``follow_links`` is False.

    >>> with OpenFile(Path(__file__)) as file:
    ...     file.read(0, 3)
    b'\"\"\"'
    """

    def __init__(self, path: Path, *, follow_links: bool = True):
        self.path, self.follow_links = path, follow_links
        self._descriptor = -1
        _check_kind(
            path, _status(path, follow_links)
        )  # opening a device could already do something
        try:
            self._descriptor = os.open(path, _FLAGS | (0 if follow_links else os.O_NOFOLLOW))
            status = os.fstat(self._descriptor)
        except OSError as error:
            self.close()
            if error.errno == errno.ELOOP and not follow_links:
                raise _not_followed(path) from None
            _refuse(path, error)
        try:
            _check_kind(path, status)
        except FormatError:
            self.close()
            raise
        self.stamp = Stamp.of(status)

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor; harmless the second time."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def read(self, start: int, stop: int) -> bytes:
        """Return bytes ``start`` to ``stop``; arguments and errors as `read_into`."""
        self._check_range(start, stop)
        pieces = []
        while start < stop:
            pieces.append(self._read_some(start, stop))
            start += len(pieces[-1])
        return b"".join(pieces)  # of a single piece, as most are, no copy

    def read_into(self, buffer: bytearray | memoryview, start: int) -> None:
        """Fill a buffer of bytes with those from ``start`` on.

        Raises:
            FormatError: the file ends before the buffer is full.
            InputError: the system cannot read it.
        """
        rest = memoryview(buffer)
        self._check_range(start, start + len(rest))
        while rest:
            try:
                count = os.preadv(self._descriptor, [rest], start)
            except OSError as error:
                _refuse(self.path, error)
            if not count:
                raise self._too_short(start, start + len(rest))
            rest, start = rest[count:], start + count

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield bytes ``start`` to ``stop`` in pieces of `CHUNK_BYTES`; errors as `read_into`."""
        self._check_range(start, stop)
        for first in range(start, stop, CHUNK_BYTES):
            yield self.read(first, min(first + CHUNK_BYTES, stop))

    def check_unchanged(self) -> None:
        """Raise `MismatchError` if the file, or what its path leads to, is another than before."""
        try:
            now = {
                Stamp.of(os.fstat(self._descriptor)),
                Stamp.of(_status(self.path, self.follow_links)),
            }
        except InputError:  # gone
            now = set()
        if now != {self.stamp}:
            raise changed(self.path)

    def _read_some(self, start: int, stop: int) -> bytes:
        try:
            piece = os.pread(self._descriptor, stop - start, start)
        except OSError as error:
            _refuse(self.path, error)
        except MemoryError:
            raise no_memory(self.path, stop - start) from None
        if not piece:
            raise self._too_short(start, stop)
        return piece

    def _check_range(self, start: int, stop: int) -> None:
        """Raise before anything is allocated for bytes that the file does not have."""
        if not 0 <= start <= stop:
            raise InputError(f"{self.path} has no bytes {start} to {stop}")
        if stop > self.stamp.size:
            raise self._too_short(self.stamp.size, stop)

    def _too_short(self, end: int, expected: int) -> FormatError:
        return FormatError(f"{self.path} ends at byte {end}, expected {expected} bytes")


def is_regular_file(path: Path, *, follow_links: bool = True) -> bool:
    """Whether ``path`` leads to a file, not to a folder, pipe or device.

    Raises:
        InputError, UnsafePathError: a link that leads nowhere or is not to be followed.
    """
    status = _status(path, follow_links)
    if stat.S_ISLNK(status.st_mode):
        raise _not_followed(path)
    return stat.S_ISREG(status.st_mode)


def changed(path: Path) -> MismatchError:
    """Return the error for a file that is another than a moment ago."""
    return MismatchError(f"{path} changed while it was read: run again")


def no_memory(path: Path, nbytes: int) -> ResourceError:
    """Return the error for ``nbytes`` bytes that memory has no room for."""
    return ResourceError(f"{path}: {nbytes} bytes do not fit into memory")


def _status(path: Path, follow_links: bool) -> os.stat_result:
    try:
        return os.stat(path, follow_symlinks=follow_links)  # noqa: PTH116
    except OSError as error:
        _refuse(path, error)
    except ValueError:  # a NUL or half a surrogate pair in the name
        raise InputError(f"{str(path)!r} is not a file name") from None


def _check_kind(path: Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise _not_followed(path)
    if not stat.S_ISREG(status.st_mode):
        raise FormatError(f"{path} is not a regular file")


def _not_followed(path: Path) -> UnsafePathError:
    return UnsafePathError(f"{path} is a symbolic link, and links are not to be followed")


def _refuse(path: Path, error: OSError) -> NoReturn:
    """Raise what the system says about reading ``path`` as a sentence of amssim's."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        if os.path.islink(path):  # noqa: PTH114  never raises
            target = os.readlink(path)  # noqa: PTH115
            raise InputError(f"{path} is a link to {target}, which does not exist") from None
        raise InputError(f"{path} does not exist") from None
    kind = ResourceError if error.errno in _SHORTAGES else InputError
    raise kind(f"{path} cannot be read: {error.strerror}") from None
