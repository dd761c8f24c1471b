"""Fill the part of docs/KERNELS.md on the choice of launches: python analysis/launch_tables.py

Record first: python analysis/tune_launch.py.
"""

from __future__ import annotations

import json

import markers

RECORD = markers.ROOT / "analysis" / "results" / "launch_regret.json"


def record() -> dict:
    """What analysis/tune_launch.py recorded."""
    return json.loads(RECORD.read_text())


def regrets() -> str:
    """Regrets of the shipped numbers and of those that were derived anew, by size of the layer."""
    found = record()
    headings = [
        "layers",
        "products",
        "mean",
        "median",
        "p90",
        "worst",
        "derived anew: mean",
        "worst",
    ]
    lines = [("all", found["shipped"]["all"], found["derived"]["all"])]
    lines += [
        (_size(*old["millions"]), old, new)
        for old, new in zip(found["shipped_by_size"], found["derived_by_size"], strict=True)
    ]
    held_out = found["shipped"]["held_out"], found["derived"]["held_out"]
    lines.append(("layers that took no part in deriving", *held_out))
    rows = [
        [
            what,
            old["products"],
            *(_percent(old[name]) for name in ("mean", "median", "p90", "worst")),
            *(_percent(new[name]) for name in ("mean", "worst")),
        ]
        for what, old, new in lines
    ]
    return markers.table(headings, rows)


def worst() -> str:
    """The layers on which the choice loses most, each with its worst product."""
    headings = ["layer", "batch", "bits", "chosen", "best measured", "regret"]
    bits = {3: "16/3", 4: "17/4"}
    rows = [
        [
            "{}x{}".format(*w["shape"]),
            w["batch"],
            bits[w["group"]],
            f"`{w['chosen']}`",
            f"`{w['best']}`",
            _percent(w["regret"]),
        ]
        for w in record()["shipped_worst"]
    ]
    return markers.table(headings, rows)


def _size(low: int, high: int) -> str:
    if high >= 2**20:
        return f"from {low} Mi weights"
    return f"{low} to {high} Mi weights" if low else f"below {high} Mi weights"


def _percent(value: float) -> str:
    return f"{value:.1%}"


def parts() -> dict[str, str]:
    """Every generated part of the document by its marker."""
    return {"launch-regret": regrets(), "launch-worst": worst()}


if __name__ == "__main__":
    markers.main("docs/KERNELS.md", parts(), __doc__)
