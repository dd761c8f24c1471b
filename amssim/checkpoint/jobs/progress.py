"""How far a job is: what it calls after each block of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from amssim.checkpoint.packed.contents import Content

#: Called with the weights done, all weights, and the name of the tensor at hand.
Progress = Callable[[int, int, str], None]

#: Called with a tensor's name and the number of its weights done since the last call.
Tick = Callable[[str, int], None]


def counter(tensors: Iterable[Content], progress: Progress | None) -> Tick:
    """Return what adds up the weights done of ``tensors`` and tells ``progress``."""
    total, done = sum(content.weights for content in tensors), 0

    def tick(name: str, weights: int) -> None:
        nonlocal done
        done += weights
        if progress:
            progress(done, total, name)

    return tick
