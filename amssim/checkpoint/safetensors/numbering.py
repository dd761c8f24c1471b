"""Names of shards that say how many there are: model-00001-of-00004.safetensors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from amssim.checkpoint.safetensors.files import SUFFIX

_NUMBERED = re.compile(rf"(.*)-([0-9]{{1,9}})-of-([0-9]{{1,9}}){re.escape(SUFFIX)}", re.DOTALL)


class Numbered(NamedTuple):
    """A shard by its name: file ``number`` of ``total`` whose names begin with ``stem``."""

    stem: str
    number: int
    total: int

    def __str__(self) -> str:
        return f"file {self.number} of {self.total}"


def numbered(name: str) -> Numbered | None:
    """Return what a name says of its shard, None for one without numbers.

    >>> str(numbered("model-00001-of-00004.safetensors"))
    'file 1 of 4'
    """
    found = _NUMBERED.fullmatch(name)
    return Numbered(found[1], int(found[2]), int(found[3])) if found else None


def gaps(names: Iterable[str]) -> list[str]:
    """Return a remark for each set of numbered shards of which some are not among ``names``.

    >>> gaps(["model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors", "x"])
    ['2 of the 3 files model-*-of-3']
    """
    present: dict[tuple[str, int], set[int]] = {}
    for shard in filter(None, map(numbered, names)):
        present.setdefault((shard.stem, shard.total), set()).add(shard.number)
    return [
        f"{len(numbers)} of the {total} files {stem}-*-of-{total}"
        for (stem, total), numbers in sorted(present.items())
        if len(numbers) < total
    ]
