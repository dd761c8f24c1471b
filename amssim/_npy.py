"""Arrays of .npy files, or one sentence why there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from amssim.errors import FormatError


def load_npy(path: str | Path, what: str) -> np.ndarray:
    """Return the array of a .npy file.

    Raises:
        FormatError: a file that cannot be read or is no such array; ``what`` names its purpose.
    """
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except OSError as error:
        raise FormatError(f"{path} cannot be read as {what}: {error.strerror or error}") from None
    except (ValueError, EOFError):
        raise FormatError(
            f"{path} cannot be read as {what}: it is no .npy file of numbers, or cut short"
        ) from None
    return array
