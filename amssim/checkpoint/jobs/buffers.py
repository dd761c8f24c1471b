"""Memory that one worker uses for one task after another.

Fresh memory has to be mapped page by page when it is first touched, which takes as long as reading
a file from the page cache.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from amssim.errors import ResourceError


class Buffers:
    """Named buffers of one thread, each as large as the largest array asked for so far.

    >>> room = Buffers()
    >>> room.array("words", (2, 3), np.uint16).nbytes, room.array("words", 4).dtype
    (12, dtype('uint8'))
    """

    def __init__(self) -> None:
        self._held: dict[str, np.ndarray] = {}

    def array(self, use: str, shape: int | tuple[int, ...], dtype: Any = np.uint8) -> np.ndarray:
        """Return an array of any content; it is valid until ``use`` is asked for again."""
        dtype = np.dtype(dtype)
        nbytes = prod(shape if isinstance(shape, tuple) else (shape,)) * dtype.itemsize
        held = self._held.get(use)
        if held is None or held.nbytes < nbytes:
            held = None
            self._held.pop(use, None)  # given back before more is taken
            held = self._held[use] = _empty(nbytes)
        array: np.ndarray = held[:nbytes].view(dtype).reshape(shape)
        return array

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        return sum(held.nbytes for held in self._held.values())


def _empty(nbytes: int) -> np.ndarray:
    try:
        return np.empty(nbytes, np.uint8)
    except MemoryError:
        raise ResourceError(
            f"not enough memory: {nbytes} bytes are needed at once: free some, or use fewer threads"
        ) from None
