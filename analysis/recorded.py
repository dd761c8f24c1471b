"""Recorded results: JSON under analysis/results that says how and on what it was made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from amssim.bench.machine import describe

RESULTS = Path(__file__).parent / "results"
#: A real checkpoint beside the project; scripts take another as --model.
MODEL = Path(__file__).parents[2] / "shared" / "reference-lm"


def load(name: str) -> dict:
    """Return the results recorded as ``name``."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def save(name: str, results: dict) -> None:
    """Record ``results`` with the command and the machine; numbers keep 7 digits."""
    RESULTS.mkdir(exist_ok=True)
    command = " ".join(["python", f"analysis/{Path(sys.argv[0]).name}"])
    text = json.dumps({"command": command, "machine": describe()} | _rounded(results), indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def _rounded(value):
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value
