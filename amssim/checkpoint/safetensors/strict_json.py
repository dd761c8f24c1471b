"""JSON from files that are not trusted: duplicate keys and lone surrogates are errors."""

from __future__ import annotations

import json
from collections import Counter

from amssim.errors import FormatError


def parse_json(raw: bytes, where: str, *, constants: bool = False):
    """Return the value that UTF-8 JSON ``raw`` spells; ``where`` names it in errors.

    ``constants`` admits NaN and Infinity, which Python writes into some config.json.

    Raises:
        FormatError: anything else than well-formed JSON with unique keys.

    >>> parse_json(b'{"a": 1, "a": 2}', "x.json")
    Traceback (most recent call last):
    amssim.errors.FormatError: x.json holds the key 'a' twice
    """

    def unique(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
            raise FormatError(f"{where} holds the key {twice!r} twice")
        for text in (*found, *found.values()):
            if isinstance(text, str) and not _encodable(text):
                raise FormatError(f"{where} holds text that is not Unicode: {text!r}")
        return found

    def constant(name):
        if constants:
            return float(name)
        raise FormatError(f"{where} holds the constant {name}, which JSON does not have")

    try:
        return json.loads(raw.decode(), object_pairs_hook=unique, parse_constant=constant)
    except FormatError:
        raise
    except UnicodeDecodeError as error:
        raise FormatError(f"{where} is not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise FormatError(f"{where} is nested too deeply") from None
    except ValueError as error:  # not JSON, or an integer of more than 4300 digits
        raise FormatError(f"{where} is not JSON: {error}") from None


def canonical_json(value) -> str:
    """Return ``value`` as JSON with sorted keys, no spaces and ASCII only: one text per value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
