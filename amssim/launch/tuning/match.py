"""Which data serve a GPU, and what they say of a product."""

from __future__ import annotations

from amssim.launch.geometry import GEMV, Gpu
from amssim.launch.tuning.h200 import H200
from amssim.launch.tuning.older import OLDER
from amssim.launch.tuning.rule import Facts, ShapeNumbers, shape_numbers

#: By capability; the first serves what is older still.
TUNINGS = (OLDER, H200)
#: The same as flat tuples, which Numba compiles quickly: of each tuning,
CAPABILITIES = tuple(tuning.capability for tuning in TUNINGS)
TUNED_SMS = tuple(tuning.sms for tuning in TUNINGS)
TUNED_COSTS = tuple(tuning.costs for tuning in TUNINGS)
#: and of each rule: tuning, kernel and group that it is for, its bounds, numbers of its shapes.
_RULES = tuple((number, rule) for number, tuning in enumerate(TUNINGS) for rule in tuning.rules)
CONCERNED = tuple((number, rule.kernel, rule.group) for number, rule in _RULES)
LOWS, HIGHS = (tuple(getattr(rule, end) for _, rule in _RULES) for end in ("low", "high"))
TUNED_SHAPES = tuple(shape_numbers(rule) for _, rule in _RULES)


def tuning_of(gpu: Gpu) -> int:
    """Number of the data for a GPU: of the highest capability that is not above its own.

    Among several of that capability it is that with the nearest count of multiprocessors.
    """
    nearest = 0
    for i in range(len(CAPABILITIES)):
        if CAPABILITIES[i] <= gpu.capability:
            higher = CAPABILITIES[i] > CAPABILITIES[nearest]
            nearer = abs(TUNED_SMS[i] - gpu.sms) < abs(TUNED_SMS[nearest] - gpu.sms)
            if higher or nearer:
                nearest = i
    return nearest


def first_rule(tuning: int, kernel: int, group: int, facts: Facts) -> int:
    """Number of the first rule for a kernel and a form that holds for a product, -1 for none."""
    for i in range(len(CONCERNED)):
        if CONCERNED[i] == (tuning, kernel, group):
            holds = True
            for j in range(len(facts)):
                if facts[j] < LOWS[i][j] or facts[j] > HIGHS[i][j]:
                    holds = False
            if holds:
                return i
    return -1


def pays(tuning: int, kernel: int, group: int, facts: Facts) -> bool:
    """Whether a kernel pays for a product."""
    return first_rule(tuning, kernel, group, facts) >= 0


def preferred_shapes(tuning: int, group: int, facts: Facts) -> ShapeNumbers:
    """Block shapes of the GEMV in the order of preference, as places in `GEMV_SHAPES`."""
    return TUNED_SHAPES[first_rule(tuning, GEMV, group, facts)]
