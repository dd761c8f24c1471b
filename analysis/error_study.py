"""Record the sharing study: normal, heavy-tailed and real weights, with the closed form beside.

python analysis/error_study.py [--model DIRECTORY] [--only normal t5 model]
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import recorded

from amssim import scheme
from amssim.lm import between_windows, load_model, read_tokens, second_moments
from amssim.quality import (
    default_study,
    density,
    expected_mse_absmax,
    from_density,
    model_layers,
    sharing_study,
)

KINDS = ("normal", "t5", "model")
WEIGHTS, COLUMNS = 1 << 23, 4096
CALIBRATION_WINDOWS = 32


def random(name: str) -> list[dict]:
    """The study on random weights; ``theory_db`` wherever the closed form applies."""
    records = sharing_study(from_density(density(name), WEIGHTS, columns=COLUMNS), default_study())
    return [record | theory(name, record) for record in records]


def theory(name: str, record: dict) -> dict:
    """Predicted SQNR of a record with absmax scales, groups along rows, stored order."""
    plain = (record["scale"], record["share_axis"], record["order"])
    if plain != ("absmax", "input", "stored"):
        return {}
    columns = record["scale_block"] or COLUMNS
    named = scheme(record["scheme"])
    if columns < COLUMNS and columns % named.k:
        return {}  # groups that straddle two scales
    mse = expected_mse_absmax(density(name), named, columns=columns, search=record["search"])
    return {"theory_db": -10 * math.log10(mse)}


def real(directory: Path) -> list[dict]:
    """The study on a language model's linear layers, with the inputs they see."""
    model = load_model(directory)
    tokens = read_tokens(directory / "heldout_tokens.npy", model.config.vocab_size)
    windows = between_windows(tokens)[::4][:CALIBRATION_WINDOWS, :-1]
    moments = second_moments(model, windows)
    return sharing_study(model_layers(model, moments=moments), default_study(weighted=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=recorded.MODEL)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    args = parser.parse_args()
    known = (recorded.RESULTS / "error_study.json").exists()
    weights = recorded.load("error_study")["weights"] if known else {}
    for kind in args.only:
        weights[kind] = real(args.model) if kind == "model" else random(kind)
        recorded.save("error_study", {"weights": weights})


if __name__ == "__main__":
    main()
