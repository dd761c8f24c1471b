"""One format per tensor under a budget of bits: the multiple-choice knapsack, solved exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from amssim.errors import InputError


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


class _Partial(NamedTuple):
    bits: int
    error: float
    option: Option | None
    before: _Partial | None


def allocate(tensors: Mapping[str, Sequence[Option]], budget: int) -> Allocation:
    """Return the options, one per tensor, with the least total error within ``budget`` bits.

    Dynamic programme over the tensors that keeps, after each, only the partial choices that no
    other beats in both bits and error; with few distinct tensor sizes these are few. Errors must
    add up: squared errors, or second-order estimates of the loss.

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
    partials = [_Partial(0, 0.0, None, None)]
    for options in tensors.values():
        rest -= min(o.bits for o in options)
        partials = _pareto(
            _Partial(p.bits + o.bits, p.error + o.error, o, p)
            for p in partials
            for o in options
            if p.bits + o.bits + rest <= budget
        )
    return _traced(min(partials, key=lambda p: (p.error, p.bits)), list(tensors))


def _pareto(partials) -> list[_Partial]:
    """Those with less error than every cheaper one."""
    kept: list[_Partial] = []
    for p in sorted(partials, key=lambda p: (p.bits, p.error)):
        if not kept or p.error < kept[-1].error:
            kept.append(p)
    return kept


def _traced(end: _Partial, names: list[str]) -> Allocation:
    chosen, at = [], end
    while at.option is not None:
        chosen.append(at.option.name)
        at = at.before
    return Allocation(dict(zip(names, reversed(chosen), strict=True)), end.bits, end.error)
