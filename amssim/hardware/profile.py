"""A device as data: a figure, its source and any doubt about it, for every field."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from amssim.errors import FormatError
from amssim.hardware.fields import FIELDS

KINDS = ("gpu", "cpu")
_KEYS, _MAY_HAVE = ("name", "title", "kind", "figures"), ("calibrated", "capability")


class Figure(NamedTuple):
    """A value, where it was found, and why it may be wrong (empty if nothing speaks against it)."""

    value: float
    source: str
    doubt: str = ""


@dataclass(frozen=True)
class Profile:
    """A processor that the simulator can predict for.

    ``capability`` is the CUDA compute capability of an NVIDIA GPU, such as 9.0, and else empty.

    >>> from amssim.hardware import profile
    >>> h200 = profile("h200")
    >>> h200.kind, h200.value("sms"), sorted(h200.doubtful)[0]
    ('gpu', 132, 'dram_bytes_per_s')
    """

    name: str
    title: str
    kind: str
    figures: dict[str, Figure]
    calibrated: bool = False
    capability: str = ""

    def value(self, field: str) -> float:
        """Return a figure by the name it has in `FIELDS`, in that field's unit."""
        return self.figures[field].value

    @property
    def doubtful(self) -> dict[str, str]:
        """The figures that something speaks against, and what."""
        return {name: f.doubt for name, f in self.figures.items() if f.doubt}

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_json` reads, for `json.dump`."""
        figures = {
            name: {key: value for key, value in f._asdict().items() if value != ""}
            for name, f in self.figures.items()
        }
        capability = {"capability": self.capability} if self.capability else {}
        return {
            "name": self.name,
            "title": self.title,
            "kind": self.kind,
            **capability,
            "calibrated": self.calibrated,
            "figures": figures,
        }


def from_json(data: object, where: str) -> Profile:
    """Check decoded JSON and return the profile.

    Args:
        data: an object with name, title, kind and one entry per field of `FIELDS`.
        where: the file, for messages.

    Raises:
        FormatError: a field that is missing, unknown, not a number or outside physics.
    """
    if not isinstance(data, dict):
        raise FormatError(f"{where}: a profile is a JSON object, found {type(data).__name__}")
    _check_keys(data, where)
    if not isinstance(data["figures"], dict):
        raise FormatError(f"{where}: figures must be an object of fields")
    _check_names(data["figures"], where)
    figures = {name: _figure(name, data["figures"][name], where) for name in FIELDS}
    calibrated, capability = data.get("calibrated", False), data.get("capability", "")
    return Profile(data["name"], data["title"], data["kind"], figures, calibrated, capability)


def _check_keys(data: dict[str, Any], where: str) -> None:
    for key in _KEYS:
        if key not in data:
            raise FormatError(f"{where}: the profile has no {key!r}; it needs {', '.join(_KEYS)}")
    unknown = [key for key in data if key not in (*_KEYS, *_MAY_HAVE)]
    if unknown:
        raise FormatError(
            f"{where}: unknown entry {unknown[0]!r}; a profile has {', '.join(_KEYS)}, "
            f"and may have {' and '.join(_MAY_HAVE)}"
        )
    for key in ("name", "title"):
        if not isinstance(data[key], str) or not data[key]:
            raise FormatError(f"{where}: {key} is {data[key]!r}, expected some words")
    if data["kind"] not in KINDS:
        raise FormatError(f"{where}: kind is {data['kind']!r}, expected one of {', '.join(KINDS)}")
    if not isinstance(data.get("calibrated", False), bool):
        raise FormatError(f"{where}: calibrated is {data['calibrated']!r}, expected true or false")
    capability = data.get("capability", "")
    if not isinstance(capability, str) or not re.fullmatch(r"(\d{1,2}\.\d)?", capability):
        raise FormatError(
            f"{where}: capability is {capability!r}, expected a CUDA compute capability in "
            f'quotes, such as "9.0"; leave it out where there is none'
        )


def _check_names(figures: dict[str, Any], where: str) -> None:
    missing = [name for name in FIELDS if name not in figures]
    unknown = [name for name in figures if name not in FIELDS]
    if missing:
        unit = FIELDS[missing[0]].unit or "a ratio or count"
        misspelt = f"; unknown is {', '.join(map(repr, unknown))}" if unknown else ""
        raise FormatError(
            f"{where}: figure {', '.join(missing)} is missing: "
            f"{FIELDS[missing[0]].meaning}, in {unit}{misspelt}"
        )
    if unknown:
        raise FormatError(
            f"{where}: unknown figure {', '.join(map(repr, unknown))}; "
            f"the figures are {', '.join(FIELDS)}"
        )


def _figure(name: str, entry: object, where: str) -> Figure:
    field = FIELDS[name]
    if not (isinstance(entry, dict) and "value" in entry and entry.get("source")):
        raise FormatError(f"{where}: figure {name} needs a value and the source it comes from")
    unknown = [key for key in entry if key not in Figure._fields]
    words = all(isinstance(entry.get(key, ""), str) for key in ("source", "doubt"))
    if unknown or not words:
        raise FormatError(
            f"{where}: figure {name} has a value, a source and perhaps a doubt, both in words; "
            f"found {', '.join(unknown) or 'another type'}"
        )
    value = entry["value"]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not field.low <= value <= field.high or (field.whole and value % 1):
        whole = "a whole number from " if field.whole else ""
        raise FormatError(
            f"{where}: {name} is {value!r}, expected {whole}{field.low:g} to {field.high:g}"
            f"{' ' + field.unit if field.unit else ''}: {field.meaning}"
        )
    return Figure(value, entry["source"], entry.get("doubt", ""))
