"""``amssim error --budget BITS``: the best formats of so many bits, by the closed form."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from amssim.cli import output_file, terminal
from amssim.errors import InputError

if TYPE_CHECKING:
    from amssim.quality.record import QualityRecord
    from amssim.quality.theory.density import Density

_LEAST, _MOST = 2.1, 8
_SCHEMA = "amssim.error.budget/1"
#: Options that say nothing about a budget.
_OTHERS = ("source", "scheme", "search", "scale", "scale_block", "share_axis", "order",
           "activations", "tokens", "weighted", "plot")  # fmt: skip


def run_budget(args: argparse.Namespace) -> int:
    """Rank formats for a density; print a table or JSON, and write what was asked for."""
    from amssim.quality.theory.density import density
    from amssim.quality.theory.optimum import best_schemes

    given = next((name for name in _OTHERS if getattr(args, name)), None)
    if given:
        option = "a source" if given == "source" else f"--{given.replace('_', '-')}"
        raise InputError(f"--budget ranks formats for a --density alone: leave out {option}")
    if not _LEAST <= args.budget <= _MOST:
        raise InputError(f"--budget is {args.budget:g}, expected {_LEAST} to {_MOST} bits")
    weights = density(args.density)
    formats = [
        {"scheme": f.scheme.name, "bits": float(f.scheme.bits), "clip": f.clip, "mse": f.mse}
        for f in best_schemes(weights, args.budget)
    ]
    answer: QualityRecord = {"density": weights.name, "budget": args.budget}
    answer |= {"formats": formats, "bounds": _bounds(weights, args.budget)}
    output_file.write_records(args.output, _SCHEMA, answer, formats)
    if args.json:
        terminal.print_json(_SCHEMA, answer)
    else:
        _print(answer)
    return 0


def _bounds(weights: Density, budget: float) -> list[QualityRecord]:
    """What quantisers of other kinds could reach with so many bits."""
    from amssim.quality.theory.bounds import entropy_coded_at, lloyd_max, shannon_lower_bound

    levels = 2 * math.floor(2**budget / 2)
    bounds: dict[str, tuple[float, float]] = {
        "rate-distortion bound": (budget, shannon_lower_bound(weights, budget)),
        "entropy-coded scalar": entropy_coded_at(weights, budget),
        f"Lloyd-Max, {levels} levels": lloyd_max(weights, levels),
    }
    return [{"name": name, "bits": bits, "mse": mse} for name, (bits, mse) in bounds.items()]


def _print(answer: QualityRecord) -> None:
    console = terminal.console()
    console.print(
        f"{answer['density']} weights, variance 1, at most {answer['budget']:g} bits\n"
        "A scale per row maps `clip` standard deviations to the largest value.\n"
    )
    table = terminal.table("format", "payload bits", "clip, sigma", "SQNR dB")
    for f in answer["formats"]:
        table.add_row(f["scheme"], f"{f['bits']:.3f}", f"{f['clip']:.2f}", _db(f["mse"]))
    table.add_section()
    for b in answer["bounds"]:
        table.add_row(b["name"], f"{b['bits']:.3f}", "", _db(b["mse"]))
    console.print(table)


def _db(mse: float) -> str:
    return f"{-10 * math.log10(mse):.2f}"
