"""One command as a whole process: its time, its peak memory, what it said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amssim.bench.checkpoint import launch
from amssim.errors import InputError, ResourceError


@dataclass(frozen=True)
class Usage:
    """What a process took, and its standard output."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    output: str


@dataclass(frozen=True)
class Tree:
    """A folder that holds the package ``amssim``, and what it is called in a record."""

    name: str
    folder: Path

    @classmethod
    def own(cls) -> Tree:
        """Return the one that this process runs from."""
        return cls("this", Path(__file__).resolve().parents[3])

    @classmethod
    def other(cls, folder: Path) -> Tree:
        """Return another one; `InputError` if ``folder`` does not hold the package."""
        if not (folder / "amssim" / "__init__.py").is_file():
            raise InputError(f"{folder} holds no package amssim: expected the folder above it")
        return cls("other", folder.resolve())

    def command(self, *words: object) -> list[str]:
        """Return the words that run ``amssim`` with ``words``."""
        path = f"PYTHONPATH={self.folder}"
        return ["env", path, sys.executable, "-P", "-m", "amssim", *map(str, words)]

    def run(self, *words: object) -> Usage:
        """Run ``amssim`` with ``words``; `ResourceError` unless it succeeds."""
        return run(self.command(*words))


def run(command: Sequence[str]) -> Usage:
    """Run a command.

    Raises:
        ResourceError: it fails; the message ends with what it said.
    """
    report, told = os.pipe()
    launcher = [sys.executable, "-I", "-S", launch.__file__, str(told), *command]
    with os.fdopen(report) as reader:
        try:
            done = subprocess.run(
                launcher,
                pass_fds=[told],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
        finally:
            os.close(told)
        taken = json.loads(reader.read() or '{"status": 1}')
    if taken.pop("status"):
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise ResourceError(f"{' '.join(command)[:80]} ... failed: {said}")
    return Usage(**taken, output=done.stdout)
