"""SIGINT, SIGTERM and SIGHUP end a verb alike: the work is put in order, then it ends."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_EXIT_CODE = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal has ended the work; a note (`add_note`) says what is left of it and where."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn the first signal into `Interrupted`; the second ends the process at once.

    A signal that is ignored stays so, as SIGHUP under nohup. Outside the main thread, where
    Python admits no handlers, nothing is changed.
    """
    before = {}
    try:
        for number in SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, _interrupt)
    except ValueError:  # not the main thread
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for each in SIGNALS:
        if signal.getsignal(each) is _interrupt:
            signal.signal(each, _leave)
    raise Interrupted(f"interrupted by {signal.Signals(number).name}")


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(_EXIT_CODE)
