"""Changes of bytes and of JSON, each decided by a random generator alone."""

from __future__ import annotations

import json
from random import Random

TOKENS = [
    b"null", b"true", b"[]", b"{}", b'""', b"0", b"-0", b"-1", b"1.0", b"1e999", b"-1e999", b"NaN",
    b"Infinity", b"9223372036854775808", b"281474976710656", b"18446744073709551616",
    b"9" * 40, b"9" * 4400, b"\\ud800", b"\\u0000", b'"a":1,', b",", b":", b"}", b"]", b"{",
    b"[", b"[" * 30, b"[" * 3000, b"\xff", b"\xed\xa0\x80", b"\x00", b"\n", b" ", b"../", b"/",
    b"\x1b[2J", b"__metadata__", b"BF16", b"F32", b"U16", b"I64", b"Q7", b"fp4.25-e2m2",
    b"fp6-e3m2", b"keep",
    b"amssim", b"data_offsets", b"model.safetensors.index.json", b".safetensors",
]  # fmt: skip
VALUES = [
    None, True, False, 0, 1, -1, 2, 3, 7, 64, 2**31, 2**48, 2**63, 2**64, -(2**63), 10**30, 1.0,
    0.5, -0.0, 1e308, float("inf"), float("nan"), "", "a", "x" * 300, "\u0000", "\ud800", "\u202e",
    "../a", "/etc/passwd", "BF16", "F32", "U16", "I64", "F8_E4M3", "F4", "Q7", "fp4.25-e2m2",
    "fp6-e3m2",
    "adaptive", "absmax", "0" * 8, "f" * 8, "0" * 32, "0" * 64, [], {}, [0], [0, 0], [1, 2, 3],
    [2**48, 2], [[]], {"a": 1}, {"run": "0" * 32, "digest": "0" * 64}, [None], ["a"], [1] * 12,
]  # fmt: skip


def change_bytes(raw: bytes, rng: Random) -> bytes:
    """Return ``raw`` with one to three changes of bytes."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(_BYTE_CHANGES)(data, rng.randrange(len(data) + 1), rng)
    return bytes(data)


def change_value(value: object, rng: Random) -> object:
    """Return a JSON ``value`` in which one part, at any depth, is another, gone or new."""
    root = [value]
    place, key = rng.choice(_places(root))
    kind = rng.randrange(8)
    if kind == 0 and place is not root:
        del place[key]
    elif kind == 1 and isinstance(place[key], dict):
        place[key][rng.choice(("a", "", "shape", "format", "default", "set"))] = rng.choice(VALUES)
    elif kind == 2 and isinstance(place[key], list):
        place[key].append(rng.choice(VALUES))
    elif kind == 3 and isinstance(place, dict):
        place[_other_name(str(key), rng)] = place.pop(key)
    elif kind == 4:
        other, other_key = rng.choice(_places(root))
        place[key] = json.loads(json.dumps(other[other_key]))
    elif kind == 5 and type(place[key]) is int:
        place[key] += rng.choice((-1, 1, 8, -8, 2**32, 2**64))
    elif kind == 6 and isinstance(place[key], str):
        place[key] = _other_name(place[key], rng)
    else:
        place[key] = rng.choice(VALUES)
    return root[0]


def encode(value: object, rng: Random) -> bytes:
    """Return JSON of ``value``, sometimes with spaces, escapes or a key twice."""
    separators = rng.choice(((",", ":"), (",", ":"), (", ", ": "), (" ,\n", "\t: ")))
    text = json.dumps(value, separators=separators, sort_keys=rng.random() < 0.3)
    raw = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.05 and isinstance(value, dict) and value:
        key = json.dumps(rng.choice(list(value))).encode()
        raw = b"{" + key + b":0," + raw[1:]
    return raw


def _places(root: list) -> list[tuple]:
    """Every (container, key) below ``root``."""
    found, waiting = [], [root]
    while waiting:
        container = waiting.pop()
        keys = container if isinstance(container, dict) else range(len(container))
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], dict | list):
                waiting.append(container[key])
    return found


def _other_name(text: str, rng: Random) -> str:
    i = rng.randrange(len(text) + 1)
    return rng.choice(
        (text[:i] + text[i + 1 :], text[:i] + "a" + text[i:], text.upper(), text + "_packed",
         text.removesuffix("_scale"), text[::-1], text + "\u0301", "../" + text)
    )  # fmt: skip


def _flip(data: bytearray, i: int, rng: Random) -> None:
    if i < len(data):
        data[i] ^= 1 << rng.randrange(8)


def _set(data: bytearray, i: int, rng: Random) -> None:
    if i < len(data):
        data[i] = rng.choice((0, 9, 32, 34, 44, 45, 48, 57, 91, 92, 93, 123, 125, 127, 255))


def _any(data: bytearray, i: int, rng: Random) -> None:
    data[i : i + rng.randrange(4)] = rng.randbytes(rng.randrange(4))


def _token(data: bytearray, i: int, rng: Random) -> None:
    data[i : i + rng.randrange(8)] = rng.choice(TOKENS)


def _delete(data: bytearray, i: int, rng: Random) -> None:
    del data[i : i + rng.choice((1, 2, 8, 64))]


def _repeat(data: bytearray, i: int, rng: Random) -> None:
    j = i + rng.choice((1, 4, 32))
    data[i:i] = data[i:j]


def _swap(data: bytearray, i: int, rng: Random) -> None:
    j = rng.randrange(len(data) + 1)
    n = rng.choice((1, 2, 8))
    data[i : i + n], data[j : j + n] = data[j : j + n], data[i : i + n]


def _cut(data: bytearray, i: int, rng: Random) -> None:
    if rng.random() < 0.3:
        del data[i:]


def _number(data: bytearray, i: int, rng: Random) -> None:
    """Replace the length that a safetensors file begins with, or eight bytes anywhere."""
    at = rng.choice((0, 0, i))
    data[at : at + 8] = rng.choice((0, 1, 8, len(data), 2**32, 2**63, 2**64 - 1)).to_bytes(
        8, "little"
    )


_BYTE_CHANGES = (_flip, _flip, _flip, _set, _any, _token, _token, _delete, _repeat, _swap, _cut,
                 _number)  # fmt: skip
