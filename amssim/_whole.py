"""Checks of whole numbers that options are made of; they need no arrays."""

from __future__ import annotations

from numbers import Integral

from amssim.errors import InputError


def is_positive_whole(value: object) -> bool:
    """Whether ``value`` is a whole number of at least 1; a bool is no number."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def check_scale_block(block: int | None, columns: int) -> int | None:
    """Return ``block`` columns per scale as an int, or None where one scale covers the row."""
    if block is None:
        return None
    if not is_positive_whole(block):
        raise InputError(f"scale_block must be a positive number of columns, found {block!r}")
    return int(block) if block < columns else None
