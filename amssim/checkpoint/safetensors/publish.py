"""Staged files get their final names: in one step, or by a journal where a directory exists."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from amssim.checkpoint.safetensors.folder import Folder
from amssim.checkpoint.safetensors.folder_lock import FILES
from amssim.checkpoint.safetensors.half_published import JOURNAL
from amssim.checkpoint.safetensors.journal import Content, Journal
from amssim.checkpoint.safetensors.replacement import Replacement, is_whole, move_to_free_name
from amssim.checkpoint.safetensors.target import Target
from amssim.errors import MismatchError, OutputError

REPLACED = "replaced"


def publish_directory(target: Target, folder: Folder, home: Folder) -> None:
    """Let the staged files become a new directory; an empty one of that name may be there.

    Raises:
        OutputError: something has appeared under the name.
    """
    try:
        folder.rename(FILES, home, target.path.name)
    except OSError:
        if home.holds(target.path.name):
            raise OutputError(f"{target.path} has appeared meanwhile: not replaced") from None
        raise


def publish_file(target: Target, files: Folder, home: Folder) -> None:
    """Give the one staged file its name.

    Raises:
        OutputError: a file has appeared under it, and ``overwrite`` is not set.
    """
    name = target.path.name
    if target.overwrite:
        files.rename(name, home, name)
    else:
        move_to_free_name(files, name, home, name)


def contents_of(files: Folder, names: Sequence[str]) -> dict[str, Content]:
    """Read staged files for the journal, several at a time where the system starts threads."""
    if not names:
        return {}
    try:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            found = pool.map(lambda name: Content.of(files, name), names)
            return dict(zip(names, found, strict=True))
    except RuntimeError:  # no memory for a thread, or too many of them
        return {name: Content.of(files, name) for name in names}


def publish_in_place(
    target: Target,
    run: str,
    contents: Mapping[str, Content],
    folder: Folder,
    files: Folder,
    home: Folder,
) -> None:
    """Give staged files their names in a directory that exists, by a journal.

    Raises:
        OutputError: a file has appeared under one of the names, and ``overwrite`` is not set.
    """
    taken = frozenset(name for name in contents if home.holds(name))
    if taken and not target.overwrite:
        raise OutputError(f"{target.path / min(taken)} has appeared meanwhile: not replaced")
    journal = Journal(run, target.folder, contents, taken)
    with suppress(FileExistsError):
        folder.make(REPLACED)
    replaced = folder.sub(REPLACED)
    for name in contents:  # there is no journal, so what is left there is needed no more
        replaced.remove(name)
    try:
        work = Replacement(journal, home, files, replaced)
        try:
            journal.write(folder, home)
            work.finish()
        except (OSError, MismatchError):
            work.take_back()
            _remove_journal(home)
            raise
    finally:
        replaced.close()
    home.remove(JOURNAL)


def settle_directory(home: Folder, folder: Folder) -> tuple[str, bool] | None:
    """Finish or take back what a killed run left half published in ``home``.

    Returns the run and whether it is finished; None if there was nothing to do.

    Raises:
        MismatchError: neither is possible.
    """
    journal = Journal.read(home)
    if journal is None:
        return None
    if not folder.holds(REPLACED):
        _check_all_there(journal, home)
        _remove_journal(home)
        return journal.run, True
    files, replaced = folder.sub(FILES), folder.sub(REPLACED)
    try:
        work = Replacement(journal, home, files, replaced)
        finished = work.can_finish()
        if finished:
            work.finish()
        else:
            work.take_back()
    finally:
        files.close()
        replaced.close()
    _remove_journal(home)
    return journal.run, finished


def _check_all_there(journal: Journal, home: Folder) -> None:
    """Somebody removed the staging folder: fine if it was no longer needed."""
    missing = [n for n, content in journal.files.items() if not is_whole(home, n, content)]
    if missing:
        raise MismatchError(
            f"{home.path} is half published, {missing[0]} is not the new file, and the staging "
            f"folder {journal.staging} with the rest is gone: remove {JOURNAL} and the files that "
            "it lists, and run again"
        )


def _remove_journal(home: Folder) -> None:
    home.remove(JOURNAL)
    home.sync()
