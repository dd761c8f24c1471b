"""One format per tensor: the dynamic programme against every combination."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim import InputError, formats
from amssim.formats import budget
from amssim.formats.budget import Option, allocate
from amssim.quality.layers.layer import LinearLayer
from amssim.quality.recipes.per_tensor import allocate_formats

OPTION = st.builds(Option, st.just(""), st.integers(1, 9), st.integers(0, 30).map(float))


@given(st.lists(st.lists(OPTION, min_size=1, max_size=4), min_size=1, max_size=4), st.data())
def test_no_combination_is_better(tensors, data):
    named = {
        str(i): [o._replace(name=str(n)) for n, o in enumerate(options)]
        for i, options in enumerate(tensors)
    }
    least = sum(min(o.bits for o in options) for options in tensors)
    limit = data.draw(st.integers(least, least + 20))
    found = allocate(named, limit)
    chosen = [named[t][int(c)] for t, c in found.choices.items()]
    assert sum(o.bits for o in chosen) == found.bits <= limit
    assert sum(o.error for o in chosen) == found.error
    combinations = (c for c in product(*tensors) if sum(o.bits for o in c) <= limit)
    assert found.error == min(sum(o.error for o in c) for c in combinations)


def test_many_tensors_stay_within_the_budget_and_near_the_bound(monkeypatch):
    rng = np.random.default_rng(0)
    tensors = {
        str(i): [Option(str(b), int(b * 1000 + rng.integers(99)), 4.0**-b * s) for b in range(3, 8)]
        for i, s in enumerate(np.exp(2 * rng.standard_normal(60)))
    }
    exact = allocate(tensors, 300_000)
    monkeypatch.setattr(budget, "CELLS", 500)
    found = allocate(tensors, 300_000)
    assert found.bits <= 300_000 and exact.error <= found.error < 1.02 * exact.error
    chosen = [next(o for o in tensors[t] if o.name == c) for t, c in found.choices.items()]
    assert sum(o.bits for o in chosen) == found.bits


def test_budgets_that_cannot_be_met():
    with pytest.raises(InputError, match="a budget of 3 bits is below the 4 that"):
        allocate({"w": [Option("a", 4, 1.0)]}, 3)
    with pytest.raises(InputError, match="at least one option"):
        allocate({"w": []}, 3)
    with pytest.raises(InputError, match="there must be one tensor"):
        allocate({}, 3)


def layers():
    rng = np.random.default_rng(0)
    for n, degrees in enumerate((30, 3, 30, 3)):
        yield LinearLayer(f"layer{n}", rng.standard_t(degrees, (16, 256)).astype(np.float32))


def test_a_plan_spends_bits_where_tails_are_heavy():
    choices = [formats.find_format(name) for name in ("fp4.25", "fp4.5", "fp5-e2m2", "fp5.33")]
    found = allocate_formats(layers(), choices, Fraction(5))
    restored = [found.restore(layer) for layer in layers()]
    average = sum(bits for _, bits in restored) / 4
    assert Fraction(9, 2) < average <= 5
    assert restored[1][1] > restored[0][1] and restored[3][1] > restored[2][1]
    uniform = formats.find_format("fp4.5")
    errors = [
        [np.sum((x.weights - r) ** 2) / np.sum(x.weights**2) for r in (own, other)]
        for x, (own, _), other in zip(
            layers(),
            restored,
            (uniform.quantize(x.weights).dequantize() for x in layers()),
            strict=True,
        )
    ]
    own, other = np.sum(errors, axis=0)
    assert own < other
    with pytest.raises(InputError, match="no format is planned for x"):
        found.restore(LinearLayer("x", np.ones((1, 4), np.float32)))


def test_sensitive_layers_get_more_bits():
    choices = [formats.find_format(name) for name in ("fp4.25", "fp5.33")]
    found = allocate_formats(
        layers(), choices, Fraction(5), sensitivity={"layer0": 1000.0, "layer2": 1000.0}
    )
    chosen = {name: form.name for name, form in found.formats}
    assert chosen["layer0"] == chosen["layer2"] == "fp5.33-e2m3"
    assert chosen["layer1"] == chosen["layer3"] == "fp4.25-e2m2"
