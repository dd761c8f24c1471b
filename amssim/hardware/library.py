"""Finds profiles: those shipped with the package by name, anyone's own by path."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from amssim.errors import FormatError, InputError
from amssim.hardware.profile import Profile, from_json

_SHIPPED = Path(__file__).parent / "profiles"


@cache
def names() -> tuple[str, ...]:
    """Return the names of the shipped profiles.

    >>> "h200" in names()
    True
    """
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.json")))


def profile(device: str | Path | Profile) -> Profile:
    """Return a device profile.

    Args:
        device: a shipped name in any spelling (``rtx4090`` and ``RTX 4090`` are one), the unique
            beginning of one, the path of a JSON file, or a `Profile`, which is returned as it is.

    Raises:
        InputError: no such name or file, or several; the message lists the names.
        FormatError: the file is not a profile.

    >>> profile("RTX 4090").title
    'NVIDIA GeForce RTX 4090'
    """
    if isinstance(device, Profile):
        return device
    if isinstance(device, Path) or (isinstance(device, str) and device.endswith(".json")):
        return _read(Path(device))
    if not isinstance(device, str):
        raise InputError(f"a device is a name, a path or a Profile, found {device!r}")
    return _shipped(_match(device))


@cache
def _shipped(name: str) -> Profile:
    return _read(_SHIPPED / f"{name}.json")


def _match(device: str) -> str:
    wanted = _letters(device)
    exact = [name for name in names() if _letters(name) == wanted]
    matches = exact or [name for name in names() if wanted and _letters(name).startswith(wanted)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise InputError(f"device {device!r} could be {', '.join(matches)}: name one of them")
    raise InputError(
        f"unknown device {device!r}: choose one of {', '.join(names())}, "
        f"or give the path of a profile (amssim calibrate writes one)"
    )


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _read(path: Path) -> Profile:
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read the profile {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not JSON: {error}") from None
    return from_json(data, str(path))
