"""Record perplexity and KL divergence of a language model in every format, quick mode.

python analysis/error_model.py [--model DIRECTORY] [--only GROUP ...]

Groups are those of error_formats.GROUPS. Without --only all run; each replaces its own records
and keeps the others'. 128 windows of 512 tokens; a format takes about 35 s on two cores.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import error_formats
import recorded

from amssim.error.evaluation import evaluate
from amssim.error.lm.calibrate import second_moments
from amssim.error.lm.load import load_model
from amssim.error.lm.windows import between_windows, read_tokens, spread_windows

CALIBRATION_WINDOWS = 32


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=recorded.MODEL)
    parser.add_argument("--only", nargs="+", choices=error_formats.GROUPS)
    args = parser.parse_args()
    model = load_model(args.model)
    tokens = read_tokens(args.model / "heldout_tokens.npy", model.config.vocab_size)
    calibration = between_windows(tokens)[::4][:CALIBRATION_WINDOWS, :-1]
    moments = second_moments(model, calibration)
    for group in args.only or error_formats.GROUPS:
        recipes = error_formats.GROUPS[group]()
        found = evaluate(model, recipes, spread_windows(tokens), moments, say)
        recorded.save("error_model", {"groups": groups() | {group: found}})


def groups() -> dict[str, list[dict]]:
    """What is recorded already, by group."""
    known = (recorded.RESULTS / "error_model.json").exists()
    return recorded.load("error_model")["groups"] if known else {}


if __name__ == "__main__":
    main()
