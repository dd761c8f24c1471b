"""Source and output must be different files: compared by device and inode, not by name.

Links, hard links and mounts give one file many names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from amssim.checkpoint.safetensors.folder import Identity
from amssim.checkpoint.safetensors.space import existing_place
from amssim.errors import OutputError


def check_outside(source: Path, dst: Path) -> None:
    """Raise `OutputError` if ``dst`` is ``source`` or lies in it."""
    own = _identity(source)
    if own is None:
        return
    if _identity(dst) == own:
        raise OutputError(f"{dst} is the source itself: choose another output")
    if own in _above(existing_place(dst)):
        raise OutputError(f"{dst} lies inside the source {source}: choose another output")


def check_apart(sources: Iterable[Path], written: Iterable[Path], folders: Iterable[Path]) -> None:
    """Compare what is read with what is to be written and with folders that are to be emptied.

    Raises:
        OutputError: a file of both, or a source inside one of ``folders``.
    """
    sources = list(sources)
    by_identity = {_identity(path): path for path in sources}
    for path in written:
        identity = _identity(path)
        if identity is not None and identity in by_identity:
            raise OutputError(
                f"{path} and {by_identity[identity]} of the source are one file: choose another "
                "output"
            )
    emptied = {identity: path for path in folders if (identity := _identity(path)) is not None}
    checked: set[Path] = set()
    for source in sources if emptied else []:
        real = Path(os.path.realpath(source))
        place = real if real.is_dir() else real.parent
        if place in checked:
            continue
        checked.add(place)
        for identity in _above(place) & emptied.keys():
            raise OutputError(
                f"the source {source} lies inside {emptied[identity]}, which is for unfinished "
                "files: move it, or choose another output"
            )


def _above(place: Path) -> set[Identity]:
    """Return what ``place`` and every directory above it are."""
    real = Path(os.path.realpath(place))
    found = (_identity(path) for path in (real, *real.parents))
    return {identity for identity in found if identity is not None}


def _identity(path: Path) -> Identity | None:
    try:
        return Identity.of(os.stat(path))  # noqa: PTH116  one call, links followed
    except (FileNotFoundError, NotADirectoryError):
        return None
