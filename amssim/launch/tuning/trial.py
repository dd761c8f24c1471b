"""Plans by other data than those that are shipped, to see what a change of them would be worth."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType

from amssim.launch import choose
from amssim.launch.geometry import Gpu, LaunchPlan
from amssim.launch.tuning import match
from amssim.launch.tuning.rule import Tuning, shape_numbers


def planner(tuning: Tuning) -> Callable[[Gpu, int, int, int, int], LaunchPlan]:
    """Return `plan_launch` as it would be if every GPU took these data.

    >>> from amssim.launch.tuning.h200 import H200
    >>> product = Gpu(132, 232_448, 90), 4, 8192, 8192, 1
    >>> planner(H200)(*product) == choose.plan_launch(*product)
    True
    >>> without_stream = H200._replace(rules=tuple(r for r in H200.rules if r.kernel != 4))
    >>> planner(without_stream)(Gpu(132, 232_448, 90), 4, 8192, 8192, 8).kernel
    1
    """
    tables = {
        "CONCERNED": tuple((0, rule.kernel, rule.group) for rule in tuning.rules),
        "LOWS": tuple(rule.low for rule in tuning.rules),
        "HIGHS": tuple(rule.high for rule in tuning.rules),
        "TUNED_SHAPES": tuple(shape_numbers(rule) for rule in tuning.rules),
        "TUNED_COSTS": (tuning.costs,),
    }
    names = vars(match) | vars(choose) | tables | {"tuning_of": lambda gpu: 0}
    for function in (match.first_rule, match.pays, match.preferred_shapes, choose.plan_launch):
        names[function.__name__] = FunctionType(function.__code__, names)
    plan: Callable[[Gpu, int, int, int, int], LaunchPlan] = names["plan_launch"]
    return plan
