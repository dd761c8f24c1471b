"""One format per tensor under a budget of bits: the multiple-choice knapsack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from amssim.errors import InputError

#: Partial choices kept at most.
CELLS = 1 << 15

#: Of each partial choice kept after a tensor: the one it continues, and the tensor's option.
_Step = tuple[np.ndarray, np.ndarray]


class Option(NamedTuple):
    """What a tensor would cost in a format: all its stored bits, and its error."""

    name: str
    bits: int
    error: float


@dataclass(frozen=True)
class Allocation:
    """The option of each tensor, and their sums."""

    choices: Mapping[str, str]
    bits: int
    error: float


def allocate(tensors: Mapping[str, Sequence[Option]], budget: int) -> Allocation:
    """Return the options, one per tensor, with the least total error within ``budget`` bits.

    Dynamic programme over the tensors that keeps, after each, only the partial choices that no
    other beats in both bits and error. Errors must add up: squared errors, or second-order
    estimates of the loss. With more than `CELLS` such choices, the best of each of as many equal
    ranges of bits is kept: the result is then within budget / `CELLS` per tensor of the optimum.

    Args:
        tensors: options of each tensor.
        budget: bits for all of them.

    Raises:
        InputError: no tensor, a tensor without options, or a budget below the least possible.

    >>> options = [Option("fp4", 4, 9.0), Option("fp6", 6, 1.0)]
    >>> light = [Option("fp4", 4, 2.0), Option("fp6", 6, 0.2)]
    >>> allocate({"q": options, "k": light}, 10).choices
    {'q': 'fp6', 'k': 'fp4'}
    """
    if not tensors or not all(tensors.values()):
        raise InputError("every tensor needs at least one option, and there must be one tensor")
    rest = sum(min(o.bits for o in options) for options in tensors.values())
    if rest > budget:
        raise InputError(
            f"a budget of {float(budget):.6g} bits is below the {float(rest):.6g} that the "
            "smallest options take: raise it or add smaller options"
        )
    bits, errors = np.zeros(1, np.int64), np.zeros(1)
    steps: list[_Step] = []
    for options in tensors.values():
        rest -= min(o.bits for o in options)
        own_bits = np.array([o.bits for o in options])
        own_errors = np.array([o.error for o in options], np.float64)
        all_bits, all_errors = np.add.outer(bits, own_bits), np.add.outer(errors, own_errors)
        kept = _undominated(all_bits.ravel(), all_errors.ravel(), budget - rest)
        steps.append((kept // len(options), kept % len(options)))
        bits, errors = all_bits.ravel()[kept], all_errors.ravel()[kept]
    choices = _traced(steps, int(np.argmin(errors)), tensors)
    return Allocation(choices, int(bits[np.argmin(errors)]), float(errors.min()))


def _undominated(bits: np.ndarray, errors: np.ndarray, limit: int) -> np.ndarray:
    """Indices, by bits, of what stays within the limit and has less error than all cheaper."""
    order = np.lexsort((errors, bits))
    order = order[bits[order] <= limit]
    lowest = np.minimum.accumulate(errors[order])
    kept: np.ndarray = order[np.append(True, lowest[1:] < lowest[:-1])]
    if len(kept) <= CELLS:
        return kept
    cells = bits[kept] * CELLS // limit  # errors fall with bits, so a cell's last is its best
    best: np.ndarray = kept[np.append(cells[1:] != cells[:-1], True)]
    return best


def _traced(
    steps: Sequence[_Step], at: int, tensors: Mapping[str, Sequence[Option]]
) -> dict[str, str]:
    """Follow the choices back from the last tensor's partial choice ``at``."""
    chosen: list[str] = []
    backwards = zip(reversed(steps), reversed(list(tensors.values())), strict=True)
    for (before, option), options in backwards:
        chosen.append(options[option[at]].name)
        at = before[at]
    return dict(zip(tensors, reversed(chosen), strict=True))
