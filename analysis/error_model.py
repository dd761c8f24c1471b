"""Record perplexity and KL divergence of a language model in every format.

python analysis/error_model.py [--model DIRECTORY] [--only GROUP ...] [--full] [--backend torch]
    [--at-once N]

Groups are those of error_formats.GROUPS, and "per tensor"; without --only all run. Each replaces
its own records and keeps the others', after each N formats, which are scored together. 128 windows
of 512 tokens, or with --full all of the held-out text. A format takes about 40 s on two cores, a
second on a GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import error_formats
import recorded

from amssim.bench import processor
from amssim.formats import find_format
from amssim.lm import (
    BACKENDS,
    Llama,
    all_windows,
    backend,
    between_windows,
    load_model,
    read_tokens,
    second_moments,
    spread_windows,
)
from amssim.quality import (
    PerTensor,
    Recipe,
    allocate_formats,
    evaluate,
    model_layers,
    recipe,
    restored_model,
    sensitivities,
)

PER_TENSOR = "per tensor"
GROUPS = (*error_formats.GROUPS, PER_TENSOR)
CALIBRATION_WINDOWS, SENSITIVITY_WINDOWS = 32, 8
#: Schemes that a bit budget chooses from.
CHOICES = ("fp6-e2m3", "fp5.5-e2m3", "fp5.33", "fp5.25-e2m3", "fp5.125", "fp5-e2m2", "fp4.5",
           "fp4.33", "fp4.25", "fp4.125", "fp4-e2m1")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=recorded.MODEL)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--backend", choices=BACKENDS, default="numpy")
    args = parser.parse_args()
    model = load_model(args.model, backend(args.backend))
    tokens = read_tokens(args.model / "heldout_tokens.npy", model.config.vocab_size)
    windows = all_windows(tokens) if args.full else spread_windows(tokens)
    name = "error_model_full" if args.full else "error_model"
    calibration = between_windows(tokens)[::4][:CALIBRATION_WINDOWS]
    moments = second_moments(model, calibration[:, :-1])
    known = recorded.load(name) if (recorded.RESULTS / f"{name}.json").exists() else {}
    results = {part: known.get(part, {}) for part in ("stored", "sensitivity", "groups")}
    if PER_TENSOR in args.only:
        few = calibration[:: len(calibration) // SENSITIVITY_WINDOWS]
        results["sensitivity"] = sensitivities(model, find_format("fp4.25"), few, moments=moments)
    planned = partial(per_tensor, model, moments, results["sensitivity"])
    made: dict[str, Callable[[], list[Recipe]]] = error_formats.GROUPS | {PER_TENSOR: planned}
    for group in args.only:
        records = []
        for recipes in batched(made[group](), args.at_once):
            stored, *scored = evaluate(model, recipes, windows, moments=moments, progress=say)
            records += [described(model, *pair) for pair in zip(scored, recipes, strict=True)]
            results["stored"], results["groups"][group] = stored, records
            recorded.save(name, results)


def per_tensor(model: Llama, moments: Mapping, felt: Mapping[str, float]) -> list[PerTensor]:
    """A scheme per tensor in the bits of a published format, by noise and by measured KL."""
    forms, own = [find_format(name) for name in CHOICES], list(model_layers(model, moments=moments))
    recipes = []
    for name in ("fp4.25", "fp5.33"):
        bits = restored_model(model, recipe(name))[1].effective_bits
        for weights, suffix in ((None, ""), (felt, " by KL")):
            title = f"{find_format(name).name} per tensor{suffix}, calibrated"
            planned = allocate_formats(own, forms, bits, sensitivity=weights)
            recipes.append(replace(planned, name=title))
    return recipes


def described(model: Llama, record: dict, made: Recipe) -> dict:
    """The record with what computed it, and the chosen formats of a plan."""
    chosen = made.formats if isinstance(made, PerTensor) else ()
    choices = {"choices": {layer: form.name for layer, form in chosen}} if chosen else {}
    backend = model.backend.name
    backend += f" on {processor()}" * (backend == "numpy")
    return {"backend": backend} | record | choices


def batched(recipes: list, size: int) -> list[list]:
    """Runs of at most ``size``."""
    return [recipes[i : i + size] for i in range(0, len(recipes), size)]


def say(done: int, total: int, name: str) -> None:
    sys.stderr.write(f"\r{done}/{total} {name:50}")


if __name__ == "__main__":
    main()
