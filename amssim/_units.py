"""Sizes and counts as people read them: three digits and a decimal unit."""

from __future__ import annotations


def size(nbytes: int) -> str:
    """Return bytes with a decimal unit.

    >>> size(11_200_000), size(999_999), size(16)
    ('11.2 MB', '1 MB', '16 B')
    """
    return _scaled(nbytes, (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)), " B")


def short_number(number: int) -> str:
    """Return a number with a decimal unit.

    >>> short_number(27_300_000), short_number(7)
    ('27.3 M', '7')
    """
    return _scaled(number, (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)), "")


def _scaled(number: int, units: tuple[tuple[str, float], ...], unit: str) -> str:
    for name, step in units:
        if number >= 0.9995 * step:  # which three digits show as 1 of this unit
            return f"{number / step:.3g} {name}"
    return f"{number}{unit}"
