"""Where a checkpoint is written, and what is refused before any work is done for it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from amssim.checkpoint.safetensors.apart import check_apart, check_outside
from amssim.checkpoint.safetensors.files import SUFFIX
from amssim.checkpoint.safetensors.folder import check_plain
from amssim.checkpoint.safetensors.half_published import JOURNAL
from amssim.checkpoint.safetensors.output_errors import output_errors
from amssim.checkpoint.safetensors.shards import CONFIG_NAME, INDEX_NAME, Checkpoint
from amssim.errors import OutputError

INSIDE = ".amssim-partial"

#: Files that say something of the others in a directory, or are taken for some of them.
_MISLEADING = re.compile(rf".*{re.escape(SUFFIX)}(\.index\.json)?|config\.json|amssim\..*\.json")


@dataclass(frozen=True)
class Target:
    """A file, or a directory that gets ``names`` and whatever it holds already.

    ``in_place`` is for a directory that exists; others appear by one renaming. ``completes`` is
    for one whose other files are part of the result.
    """

    path: Path
    names: tuple[str, ...]
    overwrite: bool
    is_file: bool = False
    in_place: bool = False
    completes: bool = False

    def __post_init__(self) -> None:
        for name in self.names:
            check_plain(name)

    @property
    def home(self) -> Path:
        """The directory that holds the staging folder."""
        return self.path if self.in_place else self.path.parent

    @property
    def folder(self) -> str:
        """Name of the staging folder; as long for a long name as for a short one."""
        return INSIDE if self.in_place else self.beside

    @property
    def beside(self) -> str:
        """Name of a staging folder beside the output."""
        digest = sha256(os.fsencode(self.path.name)).hexdigest()
        return f".amssim-{digest[:16]}.partial"

    def name_of(self, shard: str) -> str:
        """Return the file name for a shard of the source."""
        return self.path.name if self.is_file else shard

    def check(self) -> None:
        """Refuse what would be overwritten against the user's will, or make the result unreadable.

        Raises:
            OutputError: a name that is taken, a directory that is not empty or holds what would
                be taken for a part of the result.
        """
        if self.is_file:
            _check_file(self.path, overwrite=self.overwrite)
        elif self.in_place:
            _check_directory(self)
        elif os.path.lexists(self.path):
            raise OutputError(f"{self.path} has appeared meanwhile: not replaced")

    def is_pending(self) -> bool:
        """Whether what lies there may come from a run that was killed while it published."""
        if self.in_place and os.path.lexists(self.path / JOURNAL):
            return True
        return os.path.lexists(self.path.parent / self.beside)


def file_target(dst: str | Path, *, overwrite: bool) -> Target:
    """Return where the single file ``dst`` goes.

    Raises:
        OutputError: a name that is no safetensors file's, or is taken.
    """
    dst = Path(dst)
    with output_errors(dst):  # a name may be one that the system does not take
        if dst.suffix != SUFFIX:
            raise OutputError(f"{dst}: the output of one file must be named *{SUFFIX}")
        target = Target(dst, (dst.name,), overwrite, is_file=True)
        if not target.is_pending():
            target.check()
        return target


def checkpoint_target(
    source: Checkpoint, dst: str | Path, names: Collection[str], *, overwrite: bool
) -> Target:
    """Return where a checkpoint made from ``source`` goes; ``names`` are all its files.

    Raises:
        OutputError: an output that exists, or shares anything with the source.
    """
    dst = Path(dst)
    with output_errors(dst):  # a name may be one that the system does not take
        files = source_files(source)
        check_outside(source.path, dst)
        if not source.is_directory:
            target = file_target(dst, overwrite=overwrite)
        else:
            if os.path.lexists(dst) and not dst.is_dir():
                raise OutputError(f"{dst} exists and is no directory: choose another name")
            target = Target(dst, tuple(sorted(names)), overwrite, in_place=dst.is_dir())
        written = [dst] if target.is_file else [dst / name for name in target.names]
        folders = [dst / INSIDE, dst.parent / target.beside]
        check_apart([source.path, *files], written, folders)
        if not target.is_pending():
            target.check()
        return target


def rewriting_target(path: str | Path, names: Iterable[str]) -> Target:
    """Return the existing directory ``path`` as the place for new versions of ``names``."""
    names = tuple(sorted(names))
    return Target(Path(path), names, overwrite=True, in_place=True, completes=True)


def source_files(source: Checkpoint) -> list[Path]:
    """Every file of a checkpoint that is read or copied."""
    if not source.is_directory:
        return [source.path]
    names = [*source.shards, *source.other_files()[0], INDEX_NAME, CONFIG_NAME]
    return [path for name in names if (path := source.path / name).exists()]


def _check_file(path: Path, *, overwrite: bool) -> None:
    if path.is_dir():
        raise OutputError(f"{path} is a directory, expected the name of a {SUFFIX} file")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path} exists: choose another name, or overwrite it (--overwrite)")
    old = path.parent / f".{path.name}.amssim-partial"
    if os.path.lexists(old):
        raise OutputError(
            f"{old} was left by a run of an earlier version of amssim that was killed: remove it "
            "and run again"
        )


def _check_directory(target: Target) -> None:
    present = sorted({p.name for p in target.path.iterdir()} - {INSIDE, JOURNAL})
    if present and not target.overwrite:
        raise OutputError(
            f"{target.path} is not empty: choose another directory, or --overwrite (it holds "
            f"{present[0]})"
        )
    foreign = [n for n in present if _MISLEADING.fullmatch(n) and n not in target.names]
    if foreign and not target.completes:
        raise OutputError(
            f"{target.path} holds {foreign[0]}, which would not be replaced and does not belong to "
            "the result: remove it or choose another directory"
        )
    folders = [n for n in target.names if n in present and _is_real_directory(target.path / n)]
    if folders:
        raise OutputError(
            f"{target.path / folders[0]} is a directory: remove it, or write elsewhere"
        )


def _is_real_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
