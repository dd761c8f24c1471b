"""Token files, and the windows of them that a model is scored on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from amssim._npy import load_npy
from amssim.errors import FormatError, InputError

#: Windows of the quick mode, and the tokens each predicts.
QUICK_WINDOWS, LENGTH = 128, 512


def read_tokens(path: str | Path, vocabulary: int) -> np.ndarray:
    """Read int64[n] tokens from a .npy file of integers, or a text file of whole numbers.

    Raises:
        FormatError: a file that cannot be read as either.
        InputError: token ids outside the vocabulary.
    """
    path = Path(path)
    tokens = load_npy(path, "tokens") if path.suffix == ".npy" else _numbers(path)
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        raise FormatError(
            f"{path} holds {tokens.dtype.name}{list(tokens.shape)}: expected integers in one row"
        )
    return _check_vocabulary(tokens, vocabulary, str(path)).astype(np.int64)


def _numbers(path: Path) -> np.ndarray:
    try:
        return np.array(path.read_text().split(), dtype=np.int64)
    except OSError as error:
        raise FormatError(f"{path} cannot be read as tokens: {error.strerror}") from None
    except (ValueError, OverflowError):
        raise FormatError(
            f"{path} cannot be read as tokens: expected whole numbers with spaces between"
        ) from None


def _check_vocabulary(tokens: np.ndarray, vocabulary: int, where: str) -> np.ndarray:
    outside = np.flatnonzero((tokens < 0) | (tokens >= vocabulary))
    if outside.size:
        first = outside[0]
        raise InputError(
            f"{where} has {outside.size} token ids outside the vocabulary, the first "
            f"{tokens[first]} at position {first}: expected 0 to {vocabulary - 1}; "
            "was the file made with this model's tokenizer?"
        )
    return tokens


def spread_windows(
    tokens: np.ndarray, *, count: int = QUICK_WINDOWS, length: int = LENGTH
) -> np.ndarray:
    """int64[count, length + 1]: window i starts at i * ((n - length - 1) // count).

    >>> spread_windows(np.arange(10), count=2, length=3).tolist()
    [[0, 1, 2, 3], [3, 4, 5, 6]]
    """
    _check_length(tokens, length, count)
    count = min(count, max(1, len(tokens) - length - 1))  # no window twice
    step = (len(tokens) - length - 1) // count
    return np.stack([tokens[i * step : i * step + length + 1] for i in range(count)])


def all_windows(tokens: np.ndarray, *, length: int = LENGTH) -> np.ndarray:
    """int64[windows, length + 1]: consecutive windows; a last part shorter than one is left out.

    >>> all_windows(np.arange(8), length=3).tolist()
    [[0, 1, 2, 3], [3, 4, 5, 6]]
    """
    _check_length(tokens, length)
    starts = range(0, len(tokens) - length, length)
    return np.stack([tokens[start : start + length + 1] for start in starts])


def between_windows(
    tokens: np.ndarray, *, count: int = QUICK_WINDOWS, length: int = LENGTH
) -> np.ndarray:
    """int64[count, length + 1] for calibration: the middle of each gap between `spread_windows`.

    Raises:
        InputError: a text too short for windows that share no token with those.
    """
    _check_length(tokens, length, count)
    step = (len(tokens) - length - 1) // count
    if step < 2 * (length + 1):
        raise InputError(
            f"{len(tokens)} tokens leave no room for {count} calibration windows of {length} "
            f"between {count} others: expected at least {2 * (length + 1) * (count + 1)}"
        )
    shift = (step + length + 1) // 2 - (length + 1) // 2
    return np.stack([tokens[s : s + length + 1] for s in (i * step + shift for i in range(count))])


def _check_length(tokens: np.ndarray, length: int, count: int = 1) -> None:
    if length < 1 or count < 1:
        raise InputError(f"cannot take {count} windows of {length} tokens: expected 1 or more")
    if len(tokens) <= length:
        raise InputError(
            f"the token file has {len(tokens)} tokens: expected at least {length + 1} "
            f"for one window of {length}"
        )
