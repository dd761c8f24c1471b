"""The README's part on predicting: the gates in short, and what the predictor prints."""

from __future__ import annotations

import markers
import simulator_tables as tables
from validate_simulator import HELD_OUT, UNSEEN

from amssim.simulator import predict_speedup


def gates() -> str:
    """One line per gate: the error on held-out data, and that of the simple models."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for r in tables.record()["rows"]:
        if r["gate"] and r["judged"] in (HELD_OUT, UNSEEN):
            groups.setdefault(_goal(r), []).append(r)
    headings = ["predicted", "on", "gate", "mean error", "worst p90", "right winner", "verdict"]
    body = [_line(*goal, rows) for goal, rows in groups.items()]
    return markers.table([*headings, *tables.SIMPLE], body)


def _goal(r: dict) -> tuple[str, str]:
    """What is judged, and on which device, which is left open where none was calibrated."""
    if r["judged"] == UNSEEN:
        return f"{r['kernel']} speedup, GPU never calibrated", ""
    bits = ", ".join(f"{b:.4g}" for b in r["bits"])
    return f"{r['kernel']} {r['quantity']}, {bits} bits, {tables.source(r)}", r["device"]


def _line(goal: str, device: str, rows: list[dict]) -> list[str]:
    points = sum(r["points"] for r in rows)

    def pooled(value_of) -> float:
        return sum(value_of(r) * r["points"] for r in rows) / points

    is_ratio = "winner" in rows[0]
    missed = [r["device"] for r in rows if not r["met"]]
    where = f" on {', '.join(missed)}" if len(rows) > 1 else ""
    return [
        goal,
        device or ", ".join(r["device"] for r in rows),
        tables.limits(rows[0]["gate"]),
        f"**{pooled(lambda r: r['mean']):.1%}**",
        f"{max(r['p90'] for r in rows):.0%}",
        f"{pooled(lambda r: r['winner']):.1%}" if is_ratio else "",
        f"**missed**{where}" if missed else "met",
        *(f"{pooled(lambda r, n=name: r['baselines'][n]):.0%}" for name in tables.SIMPLE),
    ]


def parts() -> dict[str, str]:
    """Every generated part of the README's section by its marker."""
    return {
        "gates": gates(),
        "predict": tables.printed(predict_speedup(bits=5.33)),
    }
