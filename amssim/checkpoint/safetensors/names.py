"""Names that come out of files: which may be joined to a directory, and how text is shown."""

from __future__ import annotations

import re

from amssim.errors import UnsafePathError

SUFFIX = ".safetensors"
# No separator, drive letter or control character, no leading dot (hidden) or dash (an option).
_PLAIN = re.compile(r"[^-./\\:\x00-\x1f\x7f][^/\\:\x00-\x1f\x7f]*")


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
    if isinstance(name, str) and _PLAIN.fullmatch(name) and name.endswith(SUFFIX):
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


def shown(text: str) -> str:
    r"""Return ``text`` with everything that is not printable escaped, for terminals and logs.

    >>> print(shown("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
