"""Values of a parsed config.json, each checked when it is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from amssim.errors import FormatError


def positive_whole(
    config: Mapping[str, Any], name: str, where: str, *, default: int | None = None
) -> int:
    """Return a size; ``default`` where it is missing or null, unless that is None too."""
    value = default if config.get(name) is None else config[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise FormatError(f"{where} has {name} = {value!r}: expected a positive whole number")
    return value


def positive_number(
    config: Mapping[str, Any], name: str, where: str, *, default: float | None = None
) -> float:
    """Return a positive finite number; ``default`` as in `positive_whole`."""
    value = default if config.get(name) is None else config[name]
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or not fits or not 0 < value < math.inf:
        raise FormatError(f"{where} has {name} = {value!r}: expected a positive number")
    return float(value)


def flag(config: Mapping[str, Any], name: str, where: str) -> bool:
    """Return a truth value, false where it is missing."""
    value = config.get(name) or False
    if not isinstance(value, bool):
        raise FormatError(f"{where} has {name} = {value!r}: expected true or false")
    return value
