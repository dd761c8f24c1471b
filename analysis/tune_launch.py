"""Derive the numbers that choose launches anew, and say what the shipped ones lose.

    python analysis/tune_launch.py [--record analysis/results/launch_shapes_h200.json]

Reads the times of every launch of many products (analysis/measure_launch_shapes.py) and writes
analysis/results/launch_regret.json. The *regret* of a choice is its time over that of the best
measured launch of the product, less 1. Numbers are changed one at a time as long as the mean
logarithm of these ratios falls and several layers gain; every second layer in order of size takes
no part in that, and judges. Nothing shipped is changed: what would be is listed, and belongs in
`amssim.launch.tuning`. Takes some minutes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import pairwise
from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np

from amssim import scheme
from amssim.launch import (
    GEMV_SHAPES,
    KERNEL_NAMES,
    MOST,
    TUNINGS,
    Facts,
    Gpu,
    Rule,
    Tuning,
    facts_of,
    plan_name,
    planner,
    tuning_of,
)
from amssim.simulator import held_out

RESULTS = Path(__file__).parent / "results"
OUTPUT = RESULTS / "launch_regret.json"
#: A change must lower the mean logarithm by so much: less is within what a second run differs.
LEAST_GAIN = 1e-4
#: And be of use to so many layers, and to so many times as many as it harms.
LEAST_LAYERS = 3
PASSES, WORST = 3, 10
#: Time over the best that launches are taken to have which were left out as hopeless.
LEFT_OUT = 2.0
FACTORS = (0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2.0)  # by which costs are tried
#: Bounds of the classes that regrets are stated for: weights of the layer, millions of 2^20.
CLASSES = (0, 4, 8, 32, 128, 2**20)


class Measured(NamedTuple):
    """A product and the microseconds of its launches by name."""

    group: int
    rows: int
    columns: int
    batch: int
    us: dict[str, float]

    def ratio(self, name: str) -> float:
        """Time of a launch over the best; `LEFT_OUT` for one that was not measured."""
        best = min(self.us.values())
        return self.us.get(name, LEFT_OUT * best) / best


def products(record: dict) -> list[Measured]:
    """The measured products of a record."""
    return [
        Measured(scheme(r["scheme"]).k, *r["shape"], r["batch"], r["us"]) for r in record["results"]
    ]


def ratios(tuning: Tuning, gpu: Gpu, measured: list[Measured]) -> np.ndarray:
    """float64[products]: time of the launch that these numbers choose, over the best measured."""
    plan = planner(tuning)
    return np.array([m.ratio(plan_name(plan(gpu, *m[:4]))) for m in measured])


def losses(tuning: Tuning, gpu: Gpu, measured: list[Measured]) -> np.ndarray:
    """float64[layers]: mean logarithm of the ratios of each layer."""
    by_layer: dict[tuple[int, int], list[float]] = {}
    for m, ratio in zip(measured, ratios(tuning, gpu, measured), strict=True):
        by_layer.setdefault((m.rows, m.columns), []).append(log(ratio))
    return np.array([np.mean(logs) for logs in by_layer.values()])


def derived(tuning: Tuning, gpu: Gpu, measured: list[Measured]) -> Tuning:
    """The numbers after changes of one at a time that lower the loss."""
    facts = [facts_of(gpu, *m[1:4]) for m in measured]
    values = [sorted({fact[i] for fact in facts}) for i in range(len(Facts._fields))]
    best = losses(tuning, gpu, measured)
    for _ in range(PASSES):
        before = best
        for number in range(len(tuning.rules)):
            tuning, best = improved(tuning, best, gpu, measured, rules(tuning, number, values))
        for name in tuning.costs._fields:
            tuning, best = improved(tuning, best, gpu, measured, costs(tuning, name))
        print(f"mean logarithm: {before.mean():.4f} -> {best.mean():.4f}", flush=True)
        if before.mean() - best.mean() < LEAST_GAIN:
            break
    return tuning


def improved(
    tuning: Tuning, best: np.ndarray, gpu: Gpu, measured: list[Measured], others: Iterator[Tuning]
) -> tuple[Tuning, np.ndarray]:
    """The best of some alternatives and its losses, or what there was."""
    for other in others:
        now = losses(other, gpu, measured)
        better, worse = (now < best - LEAST_GAIN).sum(), (now > best + LEAST_GAIN).sum()
        several = better >= LEAST_LAYERS and worse * LEAST_LAYERS <= better
        if several and now.mean() < best.mean() - LEAST_GAIN:
            tuning, best = other, now
    return tuning, best


def rules(tuning: Tuning, number: int, values: list[list[int]]) -> Iterator[Tuning]:
    """The same with one bound of a rule elsewhere, or another first shape of a GEMV."""
    rule = tuning.rules[number]
    for i, known in enumerate(values):
        named = rule.low[i] > 0 or rule.high[i] < MOST
        for value in known if named else ():
            yield _with_rule(tuning, number, rule._replace(low=_put(rule.low, i, value)))
            yield _with_rule(tuning, number, rule._replace(high=_put(rule.high, i, value)))
        if named:
            yield _with_rule(tuning, number, rule._replace(low=_put(rule.low, i, 0)))
            yield _with_rule(tuning, number, rule._replace(high=_put(rule.high, i, MOST)))
    for shape in GEMV_SHAPES if rule.shapes else ():
        shapes = tuple(dict.fromkeys((shape, *rule.shapes)))[:4]
        yield _with_rule(tuning, number, rule._replace(shapes=shapes))


def costs(tuning: Tuning, name: str) -> Iterator[Tuning]:
    """The same with one cost larger or smaller."""
    value = getattr(tuning.costs, name)
    if isinstance(value, tuple):
        return
    for factor in FACTORS:
        other = type(value)(round(value * factor, 3))
        yield tuning._replace(costs=tuning.costs._replace(**{name: other}))


def _put(numbers: tuple, place: int, value: int) -> tuple:
    return (*numbers[:place], value, *numbers[place + 1 :])


def _with_rule(tuning: Tuning, number: int, rule: Rule) -> Tuning:
    return tuning._replace(rules=_put(tuning.rules, number, rule))


def changes(old: Tuning, new: Tuning) -> list[str]:
    """What differs, in words."""
    found = []
    for before, after in zip(old.rules, new.rules, strict=True):
        where = f"{KERNEL_NAMES[before.kernel]}, groups of {before.group}, {_box(before)}"
        if _box(before) != _box(after):
            found.append(f"{where}: now {_box(after)}")
        if before.shapes != after.shapes:
            first = "{threads} threads, {resident} resident, team {team}, depth {depth}"
            found.append(f"{where}: first {first.format(**after.shapes[0]._asdict())}")
    for name in old.costs._fields:
        before, after = getattr(old.costs, name), getattr(new.costs, name)
        if before != after:
            found.append(f"{name}: {before} -> {after}")
    return found


def _box(rule: Rule) -> str:
    """The ranges that a rule names."""
    named = zip(Facts._fields, rule.low, rule.high, strict=True)
    parts = [
        f"{name} {low} to {'any' if high == MOST else high}"
        for name, low, high in named
        if low > 0 or high < MOST
    ]
    return ", ".join(parts) or "any product"


def regret(ratio: np.ndarray) -> dict:
    """Number of products, mean, median, 90th percentile and worst of their regrets."""
    found = ratio - 1
    return {
        "products": int(found.size),
        "mean": round(float(found.mean()), 4),
        "median": round(float(np.median(found)), 4),
        "p90": round(float(np.quantile(found, 0.9)), 4),
        "worst": round(float(found.max()), 4),
    }


def by_class(ratio: np.ndarray, measured: list[Measured]) -> list[dict]:
    """Regrets of layers by size."""
    millions = np.array([m.rows * m.columns / 2**20 for m in measured])
    found = []
    for low, high in pairwise(CLASSES):
        here = (low <= millions) & (millions < high)
        if here.any():
            found.append({"millions": [low, high], **regret(ratio[here])})
    return found


def worst(ratio: np.ndarray, tuning: Tuning, gpu: Gpu, measured: list[Measured]) -> list[dict]:
    """Of the layers on which the choice loses most, the worst product, and what is better."""
    plan = planner(tuning)
    found: list[dict] = []
    for i in np.argsort(-ratio):
        m = measured[i]
        if len(found) == WORST:
            break
        if [m.rows, m.columns] in [line["shape"] for line in found]:
            continue
        found.append(
            {
                "group": m.group,
                "shape": [m.rows, m.columns],
                "batch": m.batch,
                "chosen": plan_name(plan(gpu, *m[:4])),
                "best": min(m.us, key=lambda name: m.us[name]),
                "regret": round(float(ratio[i] - 1), 4),
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = RESULTS / "launch_shapes_h200.json"
    parser.add_argument("--record", type=Path, default=default, metavar="FILE")
    args = parser.parse_args()
    record = json.loads(args.record.read_text())
    gpu, measured = Gpu(**record["gpu"]), products(record)
    shipped = TUNINGS[tuning_of(gpu)]
    unseen = held_out([m.rows for m in measured], [m.columns for m in measured])
    seen = [m for m, out in zip(measured, unseen, strict=True) if not out]
    again = derived(shipped, gpu, seen)
    before, after = (ratios(tuning, gpu, measured) for tuning in (shipped, again))
    report = {
        "command": "python analysis/tune_launch.py",
        "record": args.record.name,
        "gpu": record["machine"]["gpu"],
        "tuning": shipped.name,
        "shipped": {"all": regret(before), "held_out": regret(before[unseen])},
        "derived": {"all": regret(after), "held_out": regret(after[unseen])},
        "shipped_by_size": by_class(before, measured),
        "derived_by_size": by_class(after, measured),
        "shipped_worst": worst(before, shipped, gpu, measured),
        "changes": changes(shipped, again),
        "gain_held_out": round(float(1 - (after / before)[unseen].mean()), 4),
    }
    OUTPUT.write_text(json.dumps(report, indent=1) + "\n")
    for which in ("shipped", "derived"):
        print(which, report[which])
    print("\n".join(report["changes"]))


if __name__ == "__main__":
    main()
