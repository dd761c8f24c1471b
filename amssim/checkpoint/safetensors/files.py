"""What comes out of a checkpoint directory and is not trusted: names of files, and small files."""

from __future__ import annotations

import re
from pathlib import Path

from amssim.checkpoint.safetensors.descriptor import OpenFile
from amssim.checkpoint.safetensors.strict_json import MAX_JSON_BYTES
from amssim.errors import FormatError, UnsafePathError

SUFFIX = ".safetensors"

# No separator, drive letter or control character, no leading dot (hidden) or dash (an option).
_PLAIN_NAME = re.compile(r"[^-./\\:\x00-\x1f\x7f][^/\\:\x00-\x1f\x7f]*")


def read_whole(path: Path, limit: int = MAX_JSON_BYTES, *, follow_links: bool = True) -> bytes:
    """Return the bytes of a small regular file; `FormatError` if it exceeds ``limit`` bytes."""
    with OpenFile(path, follow_links=follow_links) as file:
        if file.stamp.size > limit:
            raise FormatError(
                f"{path} is too large: {file.stamp.size} bytes, at most {limit} expected"
            )
        return file.read(0, file.stamp.size)


def check_shard_name(name: object, where: str) -> str:
    """Return ``name`` if it is one plain file name that ends in ``.safetensors``.

    Raises:
        UnsafePathError: anything that could lead out of the directory of ``where``.

    >>> check_shard_name("model-00001-of-00002.safetensors", "index.json")
    'model-00001-of-00002.safetensors'
    >>> check_shard_name("../model.safetensors", "index.json")
    Traceback (most recent call last):
    amssim.errors.UnsafePathError: index.json names the shard '../model.safetensors': ...
    """
    if isinstance(name, str) and _PLAIN_NAME.fullmatch(name) and name.endswith(SUFFIX):
        return name
    raise UnsafePathError(
        f"{where} names the shard {name!r}: expected a plain file name such as "
        "'model-00001-of-00002.safetensors'"
    )


def check_distinct(names: list[str], where: str) -> None:
    """Raise `UnsafePathError` if two names are one on a disk that ignores case."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise UnsafePathError(f"{where} names shards that differ only in case: {other}, {name}")
