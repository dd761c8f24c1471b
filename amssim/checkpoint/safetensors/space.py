"""Whether a disk has room for what is going to be written."""

from __future__ import annotations

import shutil
from pathlib import Path

from amssim.errors import ResourceError


def existing_place(path: Path) -> Path:
    """Return ``path`` or the nearest directory above it that exists."""
    return next(p for p in (path, *path.absolute().parents) if p.exists())


def check_space(home: Path, nbytes: int) -> None:
    """Raise `ResourceError` if the disk of ``home`` has less than ``nbytes`` free."""
    free = shutil.disk_usage(existing_place(home)).free
    if free < nbytes:
        raise ResourceError(
            f"{home}: not enough space: {nbytes} bytes are needed, {free} are free: make room, or "
            "write to another disk"
        )
