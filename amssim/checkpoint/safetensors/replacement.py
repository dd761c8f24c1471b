"""Replacing files of a directory that exists, so that a kill at any point can be made good.

A file is first in ``staged``, then under its name; an old file of that name gets a second name in
``replaced`` before, so one of the two is always under the name that readers know. Where each file
is tells what has been done: every step looks before it acts, and may be done again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from amssim.checkpoint.safetensors.folder import Folder, Identity
from amssim.checkpoint.safetensors.journal import Content, Journal
from amssim.errors import MismatchError, OutputError


@dataclass(frozen=True)
class Replacement:
    """What ``journal`` says, to be finished or taken back."""

    journal: Journal
    home: Folder
    staged: Folder
    replaced: Folder

    def can_finish(self) -> bool:
        """Whether every new file is there, in one of its two places, to its last bit."""
        return all(
            is_whole(self.staged if self.staged.holds(name) else self.home, name, content)
            for name, content in self.journal.files.items()
        )

    def finish(self) -> None:
        """Give every new file its name, once the second names of the old ones are on the disk."""
        waiting = [name for name in self.journal.files if self.staged.holds(name)]
        for name in waiting:
            self._keep_old(name)
        self.replaced.sync()
        for name in waiting:
            self._bring(name)
        self._sync()

    def take_back(self) -> None:
        """Give every old file its name again; new ones go back to where they were staged.

        Raises:
            MismatchError: a file that is neither new nor old, or the old one is gone.
        """
        for name in self.journal.files:
            self._check_known(name)
        for name in self.journal.files:
            if self.replaced.holds(name) or name not in self.journal.replaced:
                self._unbring(name)
            if self.replaced.holds(name):
                _move(self.replaced, name, self.home)
        self._sync()

    def _keep_old(self, name: str) -> None:
        if not self.home.holds(name) or _same(self.home, self.staged, name):
            return
        if name not in self.journal.replaced:
            raise OutputError(f"{self.home.path / name} has appeared meanwhile: not replaced")
        if self.replaced.holds(name):
            return
        try:
            self.home.link(name, self.replaced, name)
        except OSError:  # a disk without hard links
            self.home.rename(name, self.replaced, name)

    def _bring(self, name: str) -> None:
        if name in self.journal.replaced:
            _move(self.staged, name, self.home)
        else:
            move_to_free_name(self.staged, name, self.home, name)

    def _unbring(self, name: str) -> None:
        """Move a new file from its name back to where it was staged."""
        if self.home.holds(name) and not _same(self.home, self.replaced, name):
            if self.staged.holds(name):  # both are one file
                self.home.remove(name)
            else:
                self.home.rename(name, self.staged, name)

    def _check_known(self, name: str) -> None:
        fault = self._fault(name)
        if fault:
            raise MismatchError(
                f"{self.home.path / name} {fault}, so the half published checkpoint can be neither "
                f"finished nor brought back: see {self.journal.staging} there for what is left, "
                "then remove it and the journal"
            )

    def _fault(self, name: str) -> str:
        """Return why the old state cannot be had again as far as ``name`` goes; empty if it can."""
        here, old = self.home.holds(name), self.replaced.holds(name)
        if name in self.journal.replaced and not old:
            if not here:
                return "is gone"
            return "is new and the old file is gone" if self._is_new(name) else ""
        if here and not self._is_new(name) and not _same(self.home, self.replaced, name):
            return "is neither the old nor the new file"
        return ""

    def _is_new(self, name: str) -> bool:
        """Whether the file under its final name is the new one."""
        if self.staged.holds(name):
            return _same(self.home, self.staged, name)
        return is_whole(self.home, name, self.journal.files[name])

    def _sync(self) -> None:
        for folder in (self.replaced, self.staged, self.home):
            folder.sync()


def is_whole(folder: Folder, name: str, content: Content) -> bool:
    """Whether a file is there and has that content."""
    with suppress(OutputError, FileNotFoundError):  # no regular file, or none at all
        return Content.of(folder, name) == content
    return False


def move_to_free_name(source: Folder, name: str, to: Folder, new: str) -> None:
    """Move a file to a name that must be free.

    Raises:
        OutputError: the name is taken.
    """
    try:
        source.link(name, to, new)
    except FileExistsError:
        if not _same(source, to, name, new):
            raise OutputError(f"{to.path / new} has appeared meanwhile: not replaced") from None
    except OSError:  # a disk without hard links: looking first is the best there is
        if to.holds(new):
            raise OutputError(f"{to.path / new} has appeared meanwhile: not replaced") from None
        source.rename(name, to, new)
    source.remove(name)


def _move(source: Folder, name: str, to: Folder) -> None:
    """Rename over what is there; between two names of one file the system would do nothing."""
    if _same(source, to, name):
        source.remove(name)
    else:
        source.rename(name, to, name)


def _same(one: Folder, other: Folder, name: str, new: str | None = None) -> bool:
    first, second = one.status(name), other.status(new or name)
    if first is None or second is None:
        return False
    return Identity.of(first) == Identity.of(second)
