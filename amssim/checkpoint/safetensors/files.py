"""What comes out of a checkpoint directory and is not trusted: names and JSON.

Duplicate keys and lone surrogates in JSON are errors.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from math import isinf
from pathlib import Path
from typing import Any

from amssim.checkpoint.safetensors.descriptor import OpenFile, Stamp
from amssim.errors import FormatError, UnsafePathError

SUFFIX = ".safetensors"
#: As many bytes of JSON as the safetensors library admits in a header.
MAX_JSON_BYTES = 100_000_000

# No separator, drive letter or control character, no leading dot (hidden) or dash (an option).
_PLAIN_NAME = re.compile(r"[^-./\\:\x00-\x1f\x7f][^/\\:\x00-\x1f\x7f]*")
# A text of JSON can hold half of a surrogate pair only as an escape.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def file_stamp(path: Path) -> Stamp:
    """Return the stamp of a regular file; errors as `OpenFile`."""
    with OpenFile(path) as file:
        return file.stamp


def read_whole(path: Path, limit: int = MAX_JSON_BYTES) -> bytes:
    """Return the bytes of a small regular file; `FormatError` if it exceeds ``limit`` bytes."""
    with OpenFile(path) as file:
        if file.stamp.size > limit:
            raise FormatError(
                f"{path} is too large: {file.stamp.size} bytes, at most {limit} expected"
            )
        return file.read(0, file.stamp.size)


def read_chunks(path: Path, start: int, stop: int) -> Iterator[bytes]:
    """Yield bytes ``start`` to ``stop`` of a file in pieces; errors as `OpenFile`."""
    with OpenFile(path) as file:
        yield from file.chunks(start, stop)


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


def parse_json(raw: bytes, where: str, *, constants: bool = False) -> Any:
    """Return the value that UTF-8 JSON ``raw`` spells; ``where`` names it in errors.

    ``constants`` admits NaN and Infinity, which Python writes into some config.json.

    Raises:
        FormatError: anything else than well-formed JSON with unique keys.

    >>> parse_json(b'{"a": 1, "a": 2}', "x.json")
    Traceback (most recent call last):
    amssim.errors.FormatError: x.json holds the key 'a' twice
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
            raise FormatError(f"{where} holds the key {twice!r} twice")
        return members

    def number(text: str) -> float:
        value = float(text)
        if isinf(value) and not constants:
            raise FormatError(f"{where} holds {_short(text)}, which is beyond the range of numbers")
        return value

    def constant(name: str) -> float:
        if constants:
            return float(name)
        raise FormatError(f"{where} holds the constant {name}, which JSON does not have")

    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=unique, parse_float=number, parse_constant=constant
        )
        if _SURROGATE.search(raw):
            _check_text(value, where)
        return value
    except FormatError:
        raise
    except UnicodeDecodeError as error:
        raise FormatError(f"{where} is not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise FormatError(f"{where} is nested too deeply") from None
    except ValueError as error:  # not JSON, or an integer of more than 4300 digits
        raise FormatError(f"{where} is not JSON: {error}") from None


def canonical_json(value: object) -> str:
    """Return ``value`` as JSON with sorted keys, no spaces and ASCII only: one text per value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _check_text(value: object, where: str) -> None:
    """Raise `FormatError` if a text in ``value`` has half of a surrogate pair."""
    if isinstance(value, dict):
        for item in (*value, *value.values()):
            _check_text(item, where)
    elif isinstance(value, list):
        for item in value:
            _check_text(item, where)
    elif isinstance(value, str) and not _encodable(value):
        raise FormatError(f"{where} holds text that is not Unicode: {_short(repr(value))}")


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
