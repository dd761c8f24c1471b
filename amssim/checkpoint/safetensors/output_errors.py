"""What the system says about an output, as a sentence of amssim's."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amssim.errors import AmsError, OutputError, ResourceError

_FULL = {
    errno.ENOSPC: "make room and run again",
    errno.EDQUOT: "make room and run again",
    errno.EFBIG: "raise the limit on the size of files and run again",
}
_ADVICE = _FULL | {
    errno.EROFS: "choose another place",
    errno.EACCES: "choose a place where you may write",
    errno.EPERM: "choose a place where you may write",
}


class OtherCommand(OutputError):
    """An output that the command as given cannot make; says which command can."""


def as_sentence(error: OSError, path: Path) -> AmsError:
    """Return the error to raise for what the system said of writing ``path``."""
    if isinstance(error, AmsError):
        return error
    kind = ResourceError if error.errno in _FULL else OutputError
    advice = f": {_ADVICE[error.errno]}" if error.errno in _ADVICE else ""
    found = kind(f"{path} cannot be written: {error.strerror or error}{advice}")
    for note in getattr(error, "__notes__", ()):
        found.add_note(note)
    return found


def of_the_data(error: BaseException) -> bool:
    """Whether an error is one of the data, not of the machine or of the user's patience."""
    return isinstance(error, AmsError) and not isinstance(error, OSError)


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn what the system says about writing ``path`` into a sentence."""
    try:
        yield
    except AmsError:
        raise
    except OSError as error:
        raise as_sentence(error, path) from None
    except ValueError as error:
        if not isinstance(error, UnicodeEncodeError) and "null" not in str(error):
            raise
        raise OutputError(f"{str(path)!r} is not a name that the system takes") from None
