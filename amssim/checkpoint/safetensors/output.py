"""Where a checkpoint is written, and that it appears there whole or not at all.

Files are made in a hidden directory beside their final places, each is synchronised to the disk,
and all are renamed at the end. An error or interrupt before that leaves what was there untouched.
The hidden directory is locked, so two writers cannot meet; one left behind by a killed process is
no longer locked and is cleared by the next.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from amssim.checkpoint.safetensors.files import SUFFIX
from amssim.checkpoint.safetensors.shards import Checkpoint
from amssim.errors import AmsError, OutputError, ResourceError

_PARTIAL = ".amssim-partial"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Target:
    """Files go into ``home``; ``tag`` is the name of a single file, empty for a directory."""

    home: Path
    tag: str = ""

    @property
    def path(self) -> Path:
        """The file or directory as the user named it."""
        return self.home / self.tag if self.tag else self.home

    def name_of(self, shard: str) -> str:
        """Return the file name for a shard of the source."""
        return self.tag or shard


def file_target(dst: str | Path, *, overwrite: bool) -> Target:
    """Return where the single file ``dst`` goes.

    Raises:
        OutputError: a name that is no safetensors file's, or is taken.
    """
    dst = Path(dst)
    with output_errors(dst):  # a name may be one that the system does not take
        if dst.suffix != SUFFIX:
            raise OutputError(f"{dst}: the output of one file must be named *{SUFFIX}")
        if dst.is_dir():
            raise OutputError(f"{dst} is a directory, expected the name of a {SUFFIX} file")
        if os.path.lexists(dst) and not overwrite:
            raise OutputError(f"{dst} exists: choose another name, or overwrite it (--overwrite)")
        return Target(dst.parent, dst.name)


def checkpoint_target(source: Checkpoint, dst: str | Path, *, overwrite: bool) -> Target:
    """Return where a checkpoint made from ``source`` goes.

    Raises:
        OutputError: an output that exists, or is the source or lies inside it.
    """
    dst = Path(dst)
    with output_errors(dst):  # a name may be one that the system does not take
        _check_apart(source.path.resolve(), dst)
        if not source.is_directory:
            return file_target(dst, overwrite=overwrite)
        if os.path.lexists(dst) and not dst.is_dir():
            raise OutputError(f"{dst} exists and is no directory: choose another name")
        present = sorted(p.name for p in dst.iterdir()) if dst.is_dir() else []
        present = [name for name in present if not name.endswith(_PARTIAL)]
        if present and not overwrite:
            raise OutputError(f"{dst} is not empty: choose another directory, or --overwrite")
        foreign = [n for n in present if n.endswith(SUFFIX) and n not in source.shards]
        if foreign:
            raise OutputError(
                f"{dst} holds {foreign[0]}, which would not be replaced and does not belong to the "
                "result: remove it or choose another directory"
            )
        return Target(dst)


def _check_apart(source: Path, dst: Path) -> None:
    resolved = dst.resolve()
    if resolved == source:
        raise OutputError(f"{dst} is the source itself: choose another output")
    if source in resolved.parents:
        raise OutputError(f"{dst} lies inside the source {source}: choose another output")


@contextmanager
def staged(target: Target, nbytes: int) -> Iterator[Staging]:
    """Yield a staging for ``target`` once it is sure that its disk has ``nbytes`` free.

    Raises:
        OutputError, ResourceError: the system refuses something, in a sentence about the target.
    """
    check_space(target.home, nbytes)
    with output_errors(target.path), Staging(target.home, target.tag) as staging:
        yield staging


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn what the system says about writing ``path`` into a sentence of amssim's."""
    try:
        yield
    except AmsError:
        raise
    except OSError as error:
        kind = ResourceError if error.errno in _FULL else OutputError
        raise kind(f"{path} cannot be written: {error.strerror or error}") from None


class Staging:
    """Unfinished files for the directory ``home``; ``tag`` tells apart what goes on in it."""

    def __init__(self, home: Path, tag: str = ""):
        self.home = home
        self._directory = home / (f".{tag}{_PARTIAL}" if tag else _PARTIAL)
        self._made_home = False
        self._lock = -1

    def __enter__(self) -> Staging:
        self._made_home = not self.home.exists()
        self.home.mkdir(parents=True, exist_ok=True)
        try:
            self._directory.mkdir(exist_ok=True)
            self._take_lock()
            self._clear()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._clear()
            self._directory.rmdir()
        finally:
            self._leave()

    def path(self, name: str) -> Path:
        """Return where to make the file that will be called ``name``."""
        return self._directory / name

    def write(self, name: str, content: Iterable[bytes]) -> None:
        """Make a file of ``content``, synchronised to the disk."""
        with open(self.path(name), "xb") as file:  # noqa: PTH123  mode as the umask says
            for piece in content:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())

    def publish(self, names: list[str], last: list[str], *, overwrite: bool) -> None:
        """Give files their final names; those of ``last`` once the others are on the disk.

        Raises:
            OutputError: a name is taken, and ``overwrite`` is not set.
        """
        taken = [n for n in names + last if os.path.lexists(self.home / n)]
        if taken and not overwrite:
            raise OutputError(f"{self.home / taken[0]} has appeared meanwhile: not replaced")
        for group in (names, last):
            for name in group:
                os.replace(self.path(name), self.home / name)  # noqa: PTH105
            _sync_directory(self.home)

    def _take_lock(self) -> None:
        self._lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"another amssim is writing to {self.home}: wait for it, or write elsewhere"
            ) from None

    def _clear(self) -> None:
        for left in self._directory.iterdir():
            left.unlink()

    def _leave(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
        if self._made_home:
            with suppress(OSError):  # it is not empty where something was published
                self.home.rmdir()


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_space(home: Path, nbytes: int) -> None:
    """Raise `ResourceError` if the disk of ``home`` has less than ``nbytes`` free."""
    place = next(p for p in (home, *home.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free
    if free < nbytes:
        raise ResourceError(f"{home}: not enough space: {nbytes} bytes are needed, {free} are free")
