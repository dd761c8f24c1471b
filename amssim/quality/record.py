"""Records: the figures of one format or one way of sharing, by name, as JSON has them."""

from __future__ import annotations

from typing import Any

#: Figures by name.
QualityRecord = dict[str, Any]


def decibels(record: QualityRecord) -> float:
    """SQNR of a record, infinite where nothing is lost."""
    sqnr: float | None = record["sqnr_db"]
    return float("inf") if sqnr is None else sqnr


def gap(a: QualityRecord, b: QualityRecord, *, form: str = ".2f") -> str:
    """How many dB the first is above the second; without an error both are infinite."""
    low, high = decibels(b), decibels(a)
    return f"{high - low:{form}}" if max(low, high) < float("inf") else "n/a"
