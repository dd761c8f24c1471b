"""The staging folder of an output: made or recognised as amssim's own, and locked.

Anybody may put a link or a directory under that name, or exchange it between two calls. So it is
opened without following links, its owner and content are checked before anything in it is touched,
and once it is locked, folder and lock must still be what their names lead to.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from amssim.checkpoint.safetensors.folder import Folder, Identity
from amssim.errors import OutputError

LOCK = "lock"
JOB = "job.json"
NEW_JOB = "job.json.new"
FILES = "files"

#: What a folder holds whose maker was killed before it had said what the folder is for.
_UNBORN = {LOCK, NEW_JOB, FILES}
#: What network disks call a file that was removed while a process had it open.
_STILL_OPEN = ".nfs"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_TRIES = 20
_WAIT_SECONDS = 30.0


class DiskWithoutLocks(OutputError):
    """A disk on which two writers could not know of each other."""


def lock_folder(
    home: Folder, name: str, output: Path, *, shared: bool = False, wait: bool = False
) -> tuple[Folder, int]:
    """Return the folder ``name`` in ``home``, made if it is not there, and its lock.

    ``shared`` is for processes that work on one output together; ``wait`` for a moment's work.

    Raises:
        OutputError: a folder that amssim did not make, another writer, a disk without locks.
    """
    made = False
    for _ in range(_TRIES):
        with suppress(FileExistsError):
            home.make(name, 0o700)
            made = True
        with suppress(FileNotFoundError):  # its owner has just removed it: make it anew
            folder, lock = open_own_folder(home, name), -1
            try:
                check_content(folder)
                lock = folder.open_file(LOCK, os.O_RDWR | os.O_CREAT)
                take_lock(lock, output, shared=shared, wait=wait)
                if still_here(home, name, folder, lock):
                    return folder, lock
            except BaseException as error:
                if made and isinstance(error, DiskWithoutLocks):  # so it is nobody else's either
                    folder.remove(LOCK)
                    home.remove_directory(name)
                release(folder, lock)
                raise
            release(folder, lock)
    raise OutputError(
        f"{home.path / name} is made and removed by other processes again and again: let one "
        f"amssim at a time write {output}"
    )


def still_here(home: Folder, name: str, folder: Folder, lock: int) -> bool:
    """Whether folder and lock are still what is reached by their names."""
    locked = Identity.of(os.fstat(lock))
    return home.is_here(name, folder.identity) and folder.is_here(LOCK, locked)


def release(folder: Folder, lock: int) -> None:
    """Give up folder and lock."""
    folder.close()
    if lock >= 0:
        os.close(lock)


def take_lock(lock: int, output: Path, *, shared: bool, wait: bool = False) -> None:
    """Lock an open file, or say who has it; ``wait`` some seconds if asked to."""
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not wait or time.monotonic() > until:
                raise OutputError(
                    f"another amssim is writing to {output}: wait for it, or write elsewhere"
                ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise DiskWithoutLocks(
                f"the disk of {output} has no file locks ({error.strerror}), without which two "
                "writers could mix their files: mount it with locks (NFS: without nolock), or "
                "write to another disk and copy the result"
            ) from None
        time.sleep(0.02)


def open_own_folder(home: Folder, name: str) -> Folder:
    """Open a staging folder.

    Raises:
        OutputError: a link, no directory, or somebody else's.
    """
    folder = home.sub(name)
    owner = os.fstat(folder.fd).st_uid
    if owner == os.geteuid() or owner == _owner_of_new_files(home):
        return folder
    folder.close()
    raise OutputError(
        f"{folder.path} belongs to user {owner}, and you are {os.geteuid()}: it is left untouched; "
        "let its owner finish or remove it, or write elsewhere"
    )


def check_content(folder: Folder) -> None:
    """Raise `OutputError` if a folder holds links, or anything but says not what it is for."""
    names = set(_names_without_links(folder))
    staged = _staged_names(folder) if FILES in names else []
    foreign = sorted(n for n in names - _UNBORN if not n.startswith(_STILL_OPEN)) or staged
    if foreign and JOB not in names:
        raise OutputError(
            f"{folder.path} holds {foreign[0]} but no {JOB}: it is left untouched, because it is "
            "not amssim's or from an earlier version of it; remove it if you need nothing in it"
        )


def _staged_names(folder: Folder) -> list[str]:
    files = folder.sub(FILES)
    try:
        return _names_without_links(files)
    finally:
        files.close()


def _names_without_links(folder: Folder) -> list[str]:
    names = folder.names()
    for name in names:
        if folder.is_link(name):
            raise OutputError(
                f"{folder.path / name} is a link, which amssim does not make: it is left "
                "untouched; remove it, or write elsewhere"
            )
    return names


def _owner_of_new_files(home: Folder) -> int:
    """Return who owns what this process makes: on network disks not always its own user."""
    name = f".amssim-{os.getpid()}.probe"
    descriptor = os.open(
        name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600, dir_fd=home.fd
    )
    try:
        return os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)
        home.remove(name)
