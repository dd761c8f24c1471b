"""The JSON of a header, read entry by entry: what it costs does not depend on what it claims.

Only one entry is held as JSON at a time, so a header of a hundred million bytes that describes
nothing is refused at its first entry. Tensors' entries are flat, and metadata map text to text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from amssim.checkpoint.safetensors.strict_json import (
    MAX_DEPTH,
    check_text,
    check_value,
    decode_text,
    strict_decoder,
    twice_there,
)
from amssim.errors import FormatError

METADATA = "__metadata__"
MAX_ENTRY = 4096
MAX_METADATA = 100_000

_SPACE = re.compile(r"[ \t\n\r]*")
# What nearly every key and entry looks like; whatever does not is read as any JSON.
_KEY = re.compile(r'[ \t\n\r]*"([^"\\\x00-\x1f]*)"[ \t\n\r]*:[ \t\n\r]*')
_WHOLE = r"(?:0|[1-9][0-9]{0,18})"
_ENTRY = re.compile(
    r'\{"dtype":"([A-Z0-9_]{1,20})","shape":\[((?:WHOLE(?:,WHOLE){0,7})?)\],'
    r'"data_offsets":\[(WHOLE),(WHOLE)\]\}'.replace("WHOLE", _WHOLE)
)


def header_entries(raw: bytes, where: str) -> Iterator[tuple[str, object]]:
    """Yield the members of a header, metadata among them; ``where`` names it in errors.

    Raises:
        FormatError: anything else than an object of flat objects with unique keys.
    """
    text, seen = _Text(decode_text(raw, where), where), set[str]()
    try:
        for name in text.members():
            if name in seen:
                raise twice_there(name, where)
            seen.add(name)
            yield name, text.texts() if name == METADATA else text.flat()
        text.end()
    except FormatError:
        raise
    except RecursionError:
        raise FormatError(f"{where} is nested too deeply") from None
    except ValueError as error:  # not JSON, or an integer of more than 4300 digits
        raise FormatError(f"{where} is not JSON: {error}") from None


class _Text:
    """JSON, and how far it was read."""

    def __init__(self, text: str, where: str):
        self._text, self._at, self._where = text, 0, where
        self._decoder = strict_decoder(where)

    def members(self) -> Iterator[str]:
        """Yield the keys of an object; the value of each is to be read before the next."""
        self._take("{")
        more = self._next() != "}"
        while more:
            yield self._key()
            more = self._next() == ","
            if more:
                self._at += 1
        self._take("}")

    def flat(self) -> object:
        """Return an object without objects in it; None for another value: the last to be read."""
        plain = _ENTRY.match(self._text, self._at)
        if plain:
            self._at = plain.end()
            dtype, shape, start, stop = plain.groups()
            sizes = [int(size) for size in shape.split(",")] if shape else []
            return {"dtype": dtype, "shape": sizes, "data_offsets": [int(start), int(stop)]}
        if self._next() != "{":
            return None
        end = self._text.find("}", self._at, self._at + MAX_ENTRY) + 1
        if not end:
            raise FormatError(
                f"{self._where} has no flat object of at most {MAX_ENTRY} characters at character "
                f"{self._at}"
            )
        try:
            entry = self._decoder.decode(self._text[self._at : end])
        except json.JSONDecodeError as error:
            raise FormatError(
                f"{self._where} is not JSON, or has an object in a tensor's entry: {error}"
            ) from None
        check_value(entry, self._where, MAX_DEPTH - 1)
        self._at = end
        return entry

    def texts(self) -> dict[str, str] | None:
        """Return an object that maps text to text; None for another: the last to be read.

        It is empty for null, which the library takes and some savers write.
        """
        found: dict[str, str] = {}
        if self._next() != "{":
            null = self._text.startswith("null", self._at)
            self._at += 4 * null
            return found if null else None
        for key in self.members():
            if self._next() != '"':
                return None
            if key in found:
                raise twice_there(key, self._where)
            found[key] = self._string()
            if len(found) > MAX_METADATA:
                raise FormatError(f"{self._where} has more than {MAX_METADATA} metadata")
        return found

    def end(self) -> None:
        """Raise ValueError if anything but spaces is left."""
        if self._next():
            raise ValueError(f"surplus text at character {self._at}")

    def _key(self) -> str:
        plain = _KEY.match(self._text, self._at)
        if plain:
            self._at = plain.end()
            return plain[1]
        key = self._string()
        self._take(":")
        return key

    def _string(self) -> str:
        if self._next() != '"':
            raise ValueError(f"expected a text at character {self._at}")
        value, self._at = self._decoder.raw_decode(self._text, self._at)
        text = str(value)
        check_text(text, self._where)
        return text

    def _take(self, expected: str) -> None:
        if self._next() != expected:
            raise ValueError(f"expected {expected!r} at character {self._at}")
        self._at += 1

    def _next(self) -> str:
        """The character after spaces; empty at the end."""
        spaces = _SPACE.match(self._text, self._at)
        self._at = spaces.end() if spaces else self._at
        return self._text[self._at : self._at + 1]
