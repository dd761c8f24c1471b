"""How a reader knows that a directory is between two checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

from amssim.errors import MismatchError

#: Lies in a directory while files in it are being replaced, and says by which.
JOURNAL = "amssim.publishing.json"


def check_not_half_published(path: str | Path) -> None:
    """Raise `MismatchError` if files of a directory are being replaced, or a run was killed then.

    Readers ask before they read, and once more when they have read what describes the rest.
    """
    if os.path.lexists(Path(path) / JOURNAL):
        raise MismatchError(
            f"{path} is half published: amssim is at it, or was killed: give the same command "
            f"again, which finishes it or brings back what was there ({JOURNAL} names the files)"
        )
