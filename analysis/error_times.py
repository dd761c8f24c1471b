"""Record how long the commands of the error analysis take, each in a process of its own.

python analysis/error_times.py [--model DIRECTORY]

Run it on a machine that does nothing else: the load before each command is recorded too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import recorded

from amssim.bench import wall_s


def commands(model: Path) -> dict[str, list[str]]:
    """What is timed, by what the document calls it."""
    evaluate = ["eval", str(model), "--tokens", str(model / "heldout_tokens.npy")]
    return {
        "the default study on 100 M weights": ["error", "--weights", "100000000"],
        "perplexity of one format, 128 windows": [*evaluate, "--scheme", "fp4.25"],
        "the report on 25 M weights": ["report", str(model), "--output", "page.html"],
    }


def timed(words: list[str], model: Path) -> dict:
    """Seconds of one command, and the load when it began."""
    with tempfile.TemporaryDirectory() as folder:
        load = os.getloadavg()[0]
        command = [sys.executable, "-m", "amssim", *words]
        options = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL}
        seconds = wall_s(lambda: subprocess.run(command, **options))
    shown = " ".join(["amssim", *words]).replace(str(model), "model")
    return {"command": shown, "seconds": seconds, "load_before": load}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=recorded.MODEL)
    model = parser.parse_args().model.resolve()
    times = {}
    for title, words in commands(model).items():
        times[title] = timed(words, model)
        recorded.save("error_times", {"times": times})


if __name__ == "__main__":
    main()
