"""JSON that is not trusted: one reading for every text, and memory bounded before it is parsed.

Duplicate keys, text that is not Unicode, numbers beyond a double and deep nesting are errors.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from amssim.errors import FormatError, ResourceError

#: As many bytes of JSON as the safetensors library admits in a header.
MAX_JSON_BYTES = 100_000_000
MAX_DEPTH = 8
MAX_CONFIG_DEPTH = 32

# A value costs up to 240 bytes of memory. Short texts may hold as many as they like; in longer ones
# there is at most one in 16 bytes, which every index has, so that memory is 20 times their size.
_DENSE_BYTES, _BYTES_PER_VALUE = 1 << 20, 16


def parse_json(raw: bytes, where: str, *, config: bool = False) -> Any:
    """Return the value that UTF-8 JSON ``raw`` spells; ``where`` names it in errors.

    ``config`` admits what is found in config.json: NaN and Infinity, which Python writes, and
    nesting of `MAX_CONFIG_DEPTH` instead of `MAX_DEPTH` levels.

    Raises:
        FormatError: anything else than well-formed JSON with unique keys.
        ResourceError: more than memory has room for.

    >>> parse_json(b'{"a": 1, "a": 2}', "x.json")
    Traceback (most recent call last):
    amssim.errors.FormatError: x.json holds the key 'a' twice
    """
    _check_density(raw, where)
    try:
        value = strict_decoder(where, constants=config).decode(decode_text(raw, where))
    except FormatError:
        raise
    except RecursionError:
        raise FormatError(f"{where} is nested too deeply") from None
    except MemoryError:
        raise ResourceError(f"{where}: {len(raw)} bytes of JSON exceed the memory") from None
    except ValueError as error:  # not JSON, or an integer of more than 4300 digits
        raise FormatError(f"{where} is not JSON: {error}") from None
    check_value(value, where, MAX_CONFIG_DEPTH if config else MAX_DEPTH)
    return value


def canonical_json(value: object) -> str:
    """Return ``value`` as JSON with sorted keys, no spaces and ASCII only: one text per value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def decode_text(raw: bytes, where: str) -> str:
    """Return UTF-8 as text; `FormatError` for bytes that are none."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"{where} is not UTF-8 at byte {error.start}") from None


def strict_decoder(where: str, *, constants: bool = False) -> json.JSONDecoder:
    """Return a decoder that refuses what has two readings; the value is for `check_value` too."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
            raise twice_there(twice, where)
        return members

    def constant(name: str) -> float:
        if constants:
            return float(name)
        raise FormatError(f"{where} holds the constant {name}, which JSON does not have")

    def number(text: str) -> float:
        value = float(text)
        if math.isinf(value):
            raise FormatError(f"{where} holds {text[:40]}, which is beyond the range of numbers")
        return value

    def whole(text: str) -> float:
        # -0 is no natural number, though int would make it one.
        return -0.0 if text == "-0" else int(text)

    return json.JSONDecoder(
        object_pairs_hook=unique, parse_constant=constant, parse_float=number, parse_int=whole
    )


def check_value(value: object, where: str, levels: int) -> None:
    """Raise `FormatError` for text that is not Unicode, or more than ``levels`` of nesting."""
    if isinstance(value, str):
        check_text(value, where)
    elif isinstance(value, list | dict):
        if not levels:
            raise FormatError(f"{where} is nested too deeply")
        for member in (*value, *value.values()) if isinstance(value, dict) else value:
            if not (isinstance(member, str) and member.isascii()):  # as nearly all are
                check_value(member, where, levels - 1)


def check_text(text: str, where: str) -> None:
    """Raise `FormatError` for half of a surrogate pair, which no file name or page can hold."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise FormatError(f"{where} holds text that is not Unicode: {text[:40]!r}") from None


def twice_there(key: str, where: str) -> FormatError:
    """Return the error for a key of which two values are given."""
    return FormatError(f"{where} holds the key {key[:200]!r} twice")


def _check_density(raw: bytes, where: str) -> None:
    values = sum(map(raw.count, (b"{", b"[", b","))) if len(raw) > _DENSE_BYTES else 0
    if values * _BYTES_PER_VALUE > len(raw):
        raise FormatError(
            f"{where} holds {values} values in {len(raw)} bytes: expected names of tensors"
        )
