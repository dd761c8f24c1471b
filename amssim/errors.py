"""Every error the package raises on purpose. Imports nothing.

The message of each is one sentence: what, where, found, expected, what to do. ``exit_code`` is
what the command line returns for it.
"""


class AmsError(Exception):
    """Base of every deliberate error of amssim."""

    exit_code = 3


class SchemeError(AmsError, ValueError):
    """An unknown, ambiguous or impossible number format or option name."""

    exit_code = 2


class InputError(AmsError, ValueError):
    """An array or argument with the wrong type, shape or value (NaN and Inf included)."""


class FormatError(AmsError, ValueError):
    """A file that is truncated, inconsistent or not what it claims to be."""


class UnsafePathError(FormatError):
    """A file name inside a checkpoint that would leave its directory."""


class UnsupportedError(AmsError):
    """A well-formed input that this version does not handle."""


class OutputError(AmsError, OSError):
    """An output that exists already or cannot be written."""

    exit_code = 4


class ResourceError(AmsError, OSError):
    """Something the machine lacks: a GPU, a driver, disk space, an optional package."""

    exit_code = 4


class MismatchError(AmsError):
    """Two things that must agree and do not: verification failed."""

    exit_code = 1
