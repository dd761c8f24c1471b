"""Standard output and error as they may be: closed, full, or left by who read them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from amssim._text import shown

if TYPE_CHECKING:
    from typing import Any


def open_streams() -> None:
    """Make all three standard streams usable, whatever the caller has closed.

    A closed one is opened on the null device: the next file that is opened would else take its
    place, and what somebody prints would go into that file. What a stream's encoding cannot show
    is shown escaped.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free, which is this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def flush_output() -> None:
    """Write what standard output still holds.

    Raises:
        OSError: nobody takes it; it is dropped, so that Python does not fail with it at the end.
    """
    try:
        sys.stdout.flush()
    except OSError:
        _drop(sys.stdout)
        raise


def say(line: str) -> None:
    """Print a line on standard error, if somebody reads that."""
    try:
        print(shown(line), file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


class Steadfast:
    """A stream whose faults stop nobody, for progress: a terminal may go while work goes on."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        """Write if possible."""
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Flush if possible."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _drop(stream: TextIO) -> None:
    """Send what ``stream`` holds, and all that comes, to the null device."""
    with suppress(OSError, ValueError):  # a stream of tests has no descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
