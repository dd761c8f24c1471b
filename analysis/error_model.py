"""Record perplexity and KL divergence of a language model in every format.

python analysis/error_model.py [--model DIRECTORY] [--only GROUP ...] [--full] [--backend torch]
    [--at-once N]

Groups are those of error_formats.GROUPS; without --only all run. Each replaces its own records and
keeps the others', after each N formats, which are scored together. 128 windows of 512 tokens, or
with --full all of the held-out text. A format takes about 40 s on two cores, a second on a GPU.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import error_formats
import recorded

from amssim.error.evaluation import evaluate
from amssim.error.lm.backend import BACKENDS, backend
from amssim.error.lm.calibrate import second_moments
from amssim.error.lm.load import load_model
from amssim.error.lm.windows import all_windows, between_windows, read_tokens, spread_windows

CALIBRATION_WINDOWS = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=recorded.MODEL)
    parser.add_argument("--only", nargs="+", choices=error_formats.GROUPS)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--backend", choices=BACKENDS, default="numpy")
    args = parser.parse_args()
    model = load_model(args.model, backend(args.backend))
    tokens = read_tokens(args.model / "heldout_tokens.npy", model.config.vocab_size)
    windows = all_windows(tokens) if args.full else spread_windows(tokens)
    name = "error_model_full" if args.full else "error_model"
    calibration = between_windows(tokens)[::4][:CALIBRATION_WINDOWS, :-1]
    moments = second_moments(model, calibration)
    for group in args.only or error_formats.GROUPS:
        records = []
        for recipes in batched(error_formats.GROUPS[group](), args.at_once):
            stored, *found = evaluate(model, recipes, windows, moments, say)
            records += [{"backend": model.backend.name} | r for r in found]
            recorded.save(name, {
                "stored": stored,
                "groups": groups(name) | {group: records},
            })  # fmt: skip


def batched(recipes: list, size: int) -> list[list]:
    """Runs of at most ``size``."""
    return [recipes[i : i + size] for i in range(0, len(recipes), size)]


def groups(name: str) -> dict[str, list[dict]]:
    """What is recorded already, by group."""
    known = (recorded.RESULTS / f"{name}.json").exists()
    return recorded.load(name)["groups"] if known else {}


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
