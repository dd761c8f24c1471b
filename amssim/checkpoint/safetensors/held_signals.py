"""Signals that would end the process wait until a step is done that must not be cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def held_signals() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP take effect only at the end of the block.

    Python runs handlers in the main thread whichever thread the system interrupts, so a mask would
    not do; and other threads are not interrupted, so there is nothing to hold back in them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def note(number: int, frame: Any) -> None:
        arrived.append(number)

    handlers = {s: h for s in _ENDING if (h := signal.getsignal(s)) not in (None, signal.SIG_IGN)}
    for number in handlers:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])
