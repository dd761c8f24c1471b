"""How far long work has come."""

from __future__ import annotations

from collections.abc import Callable

#: Told how much is done, of how much, and the name of what begins or has just been done.
Progress = Callable[[int, int, str], None]


def silent(_: object) -> None:
    """Take a line of progress and show nothing."""


class Steps:
    """Work in steps of known number.

    >>> steps = Steps(4, lambda done, total, name: print(f"{done}/{total} {name}"))
    >>> steps("one begins"), steps("two more begin", 2), steps.finished("the last")
    0/4 one begins
    1/4 two more begin
    4/4 the last
    (None, None, None)
    """

    def __init__(self, total: int, progress: Progress | None):
        self.done, self.total, self.progress = 0, total, progress

    def __call__(self, name: str, count: int = 1) -> None:
        """Say that ``count`` steps called ``name`` begin."""
        if self.progress:
            self.progress(self.done, self.total, name)
        self.done += count

    def finished(self, name: str, count: int = 1) -> None:
        """Say that ``count`` steps called ``name``, which was not said to begin, are done."""
        self.done += count
        if self.progress:
            self.progress(self.done, self.total, name)
