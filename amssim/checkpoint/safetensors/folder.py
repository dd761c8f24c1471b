"""A directory held by its descriptor: what lies in it is reached by name and never by a link.

A path may lead elsewhere a moment later; a descriptor stays with the directory that was checked.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from amssim.errors import InputError, OutputError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: What some network disks say to synchronising a directory.
_CANNOT = (errno.EINVAL, errno.ENOTSUP)
_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC


class Identity(NamedTuple):
    """Device and inode: two names of one identity are one file."""

    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """Return the identity in what `os.stat` says."""
        return cls(status.st_dev, status.st_ino)


class Folder:
    """An open directory; ``path`` is only for messages and for those who read what is in it."""

    def __init__(self, path: Path, descriptor: int):
        self.path, self.fd = path, descriptor

    @classmethod
    def at(cls, path: Path) -> Folder:
        """Open the directory that a user named, through links."""
        return cls(path, os.open(path, _DIRECTORY))

    def sub(self, name: str) -> Folder:
        """Open a directory in this one.

        Raises:
            OutputError: a link, or no directory.
        """
        try:
            return Folder(self.path / name, os.open(name, _DIRECTORY | _NO_LINK, dir_fd=self.fd))
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise OutputError(
                f"{self.path / name} is a link or no directory, where amssim keeps unfinished "
                "files: it is left untouched; remove it, or write elsewhere"
            ) from None

    def close(self) -> None:
        """Give the descriptor back; harmless when repeated."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    @property
    def identity(self) -> Identity:
        """That of the directory itself."""
        return Identity.of(os.fstat(self.fd))

    def status(self, name: str) -> os.stat_result | None:
        """Return what the system says of a name, of a link itself; None where nothing is."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def holds(self, name: str) -> bool:
        """Whether anything is there under a name, be it a dangling link."""
        return self.status(name) is not None

    def is_link(self, name: str) -> bool:
        """Whether a symbolic link is there."""
        status = self.status(name)
        return status is not None and stat.S_ISLNK(status.st_mode)

    def is_here(self, name: str, identity: Identity) -> bool:
        """Whether ``name`` still leads to what has been opened under it."""
        status = self.status(name)
        return status is not None and Identity.of(status) == identity

    def names(self) -> list[str]:
        """Everything in the directory, sorted."""
        return sorted(os.listdir(self.fd))  # noqa: PTH208  by descriptor

    def make(self, name: str, mode: int = 0o777) -> None:
        """Make a directory; `FileExistsError` for whatever is there."""
        os.mkdir(name, mode, dir_fd=self.fd)

    def open_file(self, name: str, flags: int) -> int:
        """Return the descriptor of a regular file; with ``O_CREAT`` it is made.

        Raises:
            OutputError: a link, a directory, pipe or device; for writing, a file of two names.
        """
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR))
        status = self.status(name)
        if status is not None:
            _check_regular(status, self.path / name, writes=writes)
        descriptor = os.open(name, flags | _NO_LINK, 0o666, dir_fd=self.fd)
        try:
            _check_regular(os.fstat(descriptor), self.path / name, writes=writes)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def write(self, name: str, content: Iterable[bytes], *, durable: bool = True) -> None:
        """Make a new file of ``content``, if ``durable`` synchronised to the disk."""
        descriptor = self.open_file(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            for piece in content:
                write_all(descriptor, piece)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_file(self, name: str) -> None:
        """Bring a file to the disk; nothing happens where it is."""
        descriptor = self.open_file(name, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a regular file, of its first ``limit`` bytes at most."""
        descriptor = self.open_file(name, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor has no path
            # never asked for more than there is: a buffer of that size would be made first
            return file.read(min(limit, os.fstat(descriptor).st_size))

    def rename(self, name: str, to: Folder, new: str) -> None:
        """Move what is called ``name`` to ``new`` in another folder, replacing a file there."""
        os.rename(name, new, src_dir_fd=self.fd, dst_dir_fd=to.fd)

    def link(self, name: str, to: Folder, new: str) -> None:
        """Give a file a second name; `FileExistsError` if that is taken."""
        try:
            os.link(name, new, src_dir_fd=self.fd, dst_dir_fd=to.fd, follow_symlinks=False)
        except NotImplementedError as error:  # a system that would follow a link
            raise OSError(errno.ENOTSUP, str(error)) from None

    def remove(self, name: str) -> None:
        """Remove a file; harmless where nothing is."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.fd)

    def remove_directory(self, name: str) -> None:
        """Remove an empty directory; harmless where nothing is."""
        with suppress(FileNotFoundError):
            os.rmdir(name, dir_fd=self.fd)

    def sync(self) -> None:
        """Bring the names in it to the disk, where the disk can do that."""
        try:
            os.fsync(self.fd)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise


def _check_regular(status: os.stat_result, path: Path, *, writes: bool) -> None:
    """Refuse what is no file, and what is a file elsewhere too and would change there."""
    if not stat.S_ISREG(status.st_mode):
        raise OutputError(f"{path} is no regular file but {_kind(status.st_mode)}: remove it")
    if writes and status.st_nlink > 1:
        raise OutputError(
            f"{path} has {status.st_nlink} names (hard links), so writing it would change another "
            "file: remove it"
        )


def is_plain_name(name: str) -> bool:
    """Whether a name is one of a file in a directory and leads nowhere else."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def check_plain(name: str) -> str:
    """Return ``name`` if it is plain, else raise `InputError`."""
    if not is_plain_name(name):
        raise InputError(f"{name!r} is not the name of a file")
    return name


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of ``data`` at the descriptor's position."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a link"
    return "a directory" if stat.S_ISDIR(mode) else "a pipe, socket or device"
