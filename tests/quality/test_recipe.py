"""Recipes by name: formats, AMS schemes with options, and the extensions before a scheme."""

from fractions import Fraction

import numpy as np
import pytest

from amssim.errors import InputError, SchemeError
from amssim.quality.layers.layer import LinearLayer
from amssim.quality.recipes.recipe import EXTENSIONS, recipe

RNG = np.random.default_rng(9)
X = RNG.standard_normal((300, 48)) @ (np.eye(48) + 0.2 * RNG.standard_normal((48, 48)))
LAYER = LinearLayer(
    "w", RNG.standard_normal((8, 48)).astype(np.float32), (X.T @ X / 300).astype("f4")
)
#: What the command line passes where nothing is asked for.
UNASKED = {"search": "adaptive", "scale": "absmax", "scale_block": None}


@pytest.mark.parametrize(
    ("name", "options", "found"),
    [
        ("fp16", {}, "fp16"),
        ("fp4.25", {}, "fp4.25-e2m2"),
        ("fp4.25-g16", {}, "fp4.25-e2m2 g16"),
        ("fp4.25", {"scale_block": 16, "scale": "mse"}, "fp4.25-e2m2 mse g16"),
        ("nf4-g16", {"scale": "mse"}, "nf4-g16"),
        ("joint-fp5.33-g24", {}, "fp5.33-e2m3 g24 joint"),
        ("special-fp4.25", {"scale_block": 16}, "fp4.25-e2m2 -0 g16"),
    ],
)
def test_names_and_options(name, options, found):
    assert recipe(name, **UNASKED | options).name == found


@pytest.mark.parametrize("how", EXTENSIONS)
def test_extensions_lower_the_output_error(how):
    plain, extended = (recipe(n, calibrated=True, **UNASKED) for n in ("fp4.25", f"{how}-fp4.25"))

    def noise(made):
        e = LAYER.weights - made.restore(LAYER)[0]
        return np.einsum("ij,jk,ik->", e, LAYER.moments, e)

    assert extended.name.endswith(", calibrated")
    assert noise(extended) < noise(plain)
    assert extended.restore(LAYER)[1] - plain.restore(LAYER)[1] <= Fraction(8, 384)


@pytest.mark.parametrize(
    "name", ["gptq-fp4.25", "gptq-int4", "gptq-joint-fp4.5", "gptq-special-fp5.33"]
)
def test_feedback_without_inputs_is_refused(name):
    with pytest.raises(InputError, match=f"{name} feeds errors back.*--weighted"):
        recipe(name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("joint-nf4", {}, "unknown format 'joint-nf4'"),
        ("special-fp6-e2m3", {}, "needs a shared bit"),
        ("joint-fp4.25", {"scale": "mse"}, "decides 'scale' itself"),
        ("special-fp4.25", {"search": "zero"}, "decides 'search' itself"),
        ("gptq-fp4.25", {"search": "zero"}, "decides 'search' itself"),
    ],
)
def test_refused_names_and_options(name, options, message):
    with pytest.raises(SchemeError, match=message):
        recipe(name, calibrated=True, **UNASKED | options)
