"""Record the error of every format on random and real weights, with the bounds beside it.

python analysis/error_formats.py [--model DIRECTORY]
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median

import recorded

from amssim.formats import GptqAms, JointAms, JointGptq, NegativeZero, Permuted, find_format
from amssim.lm import load_model
from amssim.quality import (
    Cast,
    FormatRecipe,
    Recipe,
    bound_curves,
    compare,
    density,
    expected_curve,
    from_density,
    model_layers,
    shape_of,
)

DENSITIES = ("normal", "laplace", "t5")
WEIGHTS, COLUMNS = 1 << 21, 4096
#: Shapes of the generalised normal density from light to heavy tails; 2 is normal, 1 Laplace.
TAILS = (4.0, 2.0, 1.5, 1.0, 0.8, 0.6)

#: Comparison formats by the budget they come nearest to; group sizes chosen to meet it.
AT_4_25 = (
    ("int4-g64", {}),
    ("int4-asym-g80", {}),
    ("nf4-g64", {}),
    ("nfl4-g64", {}),
    ("mxfp4", {}),
    ("mxfp4-searched", {}),
    ("nvfp4", {}),
    ("razer", {}),
    ("squeezellm4", {}),
    ("squeezellm4-sparse", {}),
    ("omniquant4-g80", {}),
    ("slim-llm4-g80", {}),
    ("db-llm4", {}),
    ("fineq4", {}),
    ("opal4", {}),
    ("solo4", {}),
    ("nvfp4-searched", {}),
    ("signround4-g64", {}),
)
AT_5_33 = (
    ("int5-g48", {}),
    ("int5-asym-g64", {}),
    ("nf5-g48", {}),
    ("nfl5-g48", {}),
    ("mxfp6-e2m3", {}),
    ("squeezellm5", {}),
    ("omniquant5-g64", {}),
    ("slim-llm5-g64", {}),
    ("db-llm5-g240", {}),
    ("opal5", {"outliers": 2}),
    ("solo5-g96", {}),
    ("signround5-g48", {}),
)


def ams() -> list[Recipe]:
    """The AMS formats, under the scale rules where they are the published ones."""
    forms = [find_format(f"fp{bits}") for bits in ("5.5-e2m3", "5.25-e2m3", "4.5", "4.33", "4.125")]
    for name in ("fp5.33", "fp4.25"):
        forms += [
            find_format(name),
            find_format(name, scale="mse"),
            find_format(name, scale="mse", scale_block=256),
        ]
    return [FormatRecipe(f) for f in forms]


def plain() -> list[Recipe]:
    """float16, and the minifloats that do not share."""
    names = ("fp6-e2m3", "fp5-e2m2", "fp4-e2m1")
    return [Cast(), *(FormatRecipe(find_format(name)) for name in names)]


def search() -> list[Recipe]:
    """The other search rules."""
    rules = ("replace", "majority", "zero")
    return [FormatRecipe(find_format(n, search=r)) for n in ("fp5.33", "fp4.25") for r in rules]


def rivals(*sets: tuple) -> list[Recipe]:
    """Comparison formats, each with the input statistics it was published with."""
    forms = [find_format(name, **changed) for name, changed in chain(*sets)]
    return [FormatRecipe(f, calibrated=f.uses != "none") for f in forms]


def beyond(name: str, integer: str) -> list[Recipe]:
    """Extensions of an AMS format at its own bits, and error feedback on integers beside them."""
    joint, gptq = JointAms(name), GptqAms(name)
    forms = [find_format(name, weighted=True), find_format(name, weighted=True, scale="mse")]
    forms += [gptq, Permuted(gptq, "importance"), find_format(f"gptq-{integer}")]
    forms += [JointGptq(name), joint, Permuted(find_format(name), "affinity")]
    return [*(FormatRecipe(f, calibrated=True) for f in forms), FormatRecipe(joint)]


def negative_zero() -> list[Recipe]:
    """A special value in the place of negative zero, without and with error feedback."""
    forms = [NegativeZero(name, feedback=f) for name in ("fp4.25", "fp5.33") for f in (False, True)]
    return [FormatRecipe(f, calibrated=True) for f in forms]


GROUPS = {
    "ams": ams,
    "plain": plain,
    "search": search,
    "rivals at 4.25": partial(rivals, AT_4_25),
    "rivals at 5.33": partial(rivals, AT_5_33),
    "beyond 4.25": partial(beyond, "fp4.25", "int4-g64"),
    "beyond 5.33": partial(beyond, "fp5.33", "int5-g48"),
    "negative zero": negative_zero,
}


def on_random(name: str) -> dict:
    """Every format without calibration on independent weights, and the bounds."""
    recipes = [*ams(), *plain()[1:], *(FormatRecipe(r.format) for r in rivals(AT_4_25, AT_5_33))]
    records = compare(from_density(density(name), WEIGHTS, columns=COLUMNS), recipes)
    return {"records": _without_layers(records), "bounds": bound_curves(density(name))}


def on_tails() -> list[dict]:
    """A few formats against the shape of the density."""
    names = ("fp5.33", "fp4.25", "int5-g48", "int4-g64", "nf4-g64", "mxfp4", "nvfp4")
    recipes = [FormatRecipe(find_format(n)) for n in names]
    recipes.append(FormatRecipe(find_format("fp4.25", scale="mse", scale_block=256)))
    records = []
    for shape in TAILS:
        weights = from_density(density(f"gennorm:{shape:g}"), WEIGHTS, columns=COLUMNS)
        records += [{"shape": shape} | r for r in _without_layers(compare(weights, recipes))]
    return records


def on_layers(directory: Path) -> dict:
    """SQNR of each layer of the model in the published formats, and the shape of its weights.

    Beside them the closed form over those shapes, and the bounds at the median shape.
    """
    model = load_model(directory)
    shapes = {layer.name: shape_of(layer.weights) for layer in model_layers(model)}
    forms = [find_format(name) for name in ("fp5.33", "fp4.25")]
    expected = {
        f.name: expected_curve(f.scheme, model.config.hidden_size, list(shapes.values()))
        for f in forms
    }
    middle = median(shapes.values())
    return {
        "layers": compare(model_layers(model), [FormatRecipe(f) for f in forms]),
        "shapes": shapes,
        "expected": expected,
        "median shape": middle,
        "bounds": bound_curves(density(f"gennorm:{middle:.3f}")),
    }


def _without_layers(records: list[dict]) -> list[dict]:
    return [{k: v for k, v in r.items() if k != "layers_db"} for r in records]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=recorded.MODEL)
    model = parser.parse_args().model
    results = {"random": {name: on_random(name) for name in DENSITIES}}
    recorded.save("error_formats", results | {"tails": on_tails(), "model": on_layers(model)})


if __name__ == "__main__":
    main()
