"""Recorded results: JSON under analysis/results that says how and on what it was made."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from amssim.bench import describe_machine

RESULTS = Path(__file__).parent / "results"
#: A real checkpoint beside the project; scripts take another as --model.
MODEL = Path(__file__).parents[2] / "shared" / "reference-lm"


def load(name: str) -> dict:
    """Return the results recorded as ``name``."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def save(name: str, results: dict) -> None:
    """Record ``results`` with the command and the machine; numbers keep 7 digits."""
    RESULTS.mkdir(exist_ok=True)
    record = {"command": _command(), "machine": describe_machine()} | _rounded(results)
    text = json.dumps(record, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def _command() -> str:
    """This process's command without the model's directory, which is another elsewhere."""
    script, *words = sys.argv
    if "--model" in words:
        del words[words.index("--model") : words.index("--model") + 2]
    return shlex.join(["python", f"analysis/{Path(script).name}", *words])


def _rounded(value):
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value
