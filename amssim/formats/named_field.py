"""A field of a dataclass that takes a thing or its name, and keeps the thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


class NamedField(Generic[_T]):
    """Descriptor whose value is ``find`` of what the dataclass is made with.

    Without ``default`` the field must be given.

    >>> from dataclasses import dataclass
    >>> from amssim.scheme import Scheme, scheme
    >>> @dataclass(frozen=True)
    ... class Stored:
    ...     scheme: NamedField[Scheme] = NamedField(scheme)
    >>> Stored("fp4.25").scheme.k, Stored("fp4.25") == Stored(scheme("fp4.25-e2m2"))
    (4, True)
    """

    def __init__(self, find: Callable[[_T | str], _T], *, default: _T | str | None = None):
        self.find, self.default, self.name = find, default, ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> _T:
        if instance is not None:
            value: _T = instance.__dict__[self.name]
            return value
        if self.default is None:  # dataclasses take this for a field without a default
            raise AttributeError(self.name)
        return self.find(self.default)

    def __set__(self, instance: Any, value: _T | str) -> None:
        instance.__dict__[self.name] = self.find(value)
