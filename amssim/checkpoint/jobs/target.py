"""Where a checkpoint is written, and whether it may be."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from amssim.checkpoint.jobs.staging import SUFFIX as PARTIAL
from amssim.checkpoint.safetensors.names import SUFFIX
from amssim.checkpoint.safetensors.source import Checkpoint
from amssim.errors import OutputError


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
    _check_apart(source.path.resolve(), dst)
    if not source.is_directory:
        return file_target(dst, overwrite=overwrite)
    if os.path.lexists(dst) and not dst.is_dir():
        raise OutputError(f"{dst} exists and is no directory: choose another name")
    present = sorted(p.name for p in dst.iterdir()) if dst.is_dir() else []
    present = [name for name in present if not name.endswith(PARTIAL)]
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
