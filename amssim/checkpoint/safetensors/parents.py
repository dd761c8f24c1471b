"""Directories above an output that were not there: made for it, removed if nothing comes of it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from amssim.checkpoint.safetensors.folder import Folder


def make_parents(home: Path) -> list[Path]:
    """Make a directory and those above it; return those that were made, the highest first."""
    missing = [path for path in (home, *home.parents) if not path.exists()]
    home.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def remove_made(made: list[Path]) -> None:
    """Remove directories that are still empty."""
    for path in reversed(made):
        with suppress(OSError):  # somebody has put something there
            path.rmdir()


def sync_names(made: Iterable[Path]) -> None:
    """Bring the names of directories that were made to the disk."""
    for path in made:
        folder = Folder.at(path.parent)
        try:
            folder.sync()
        finally:
            folder.close()
