"""A quantisation that is killed when a share of its work is done, for another to continue."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from amssim.bench.checkpoint.process import Tree
from amssim.errors import ResourceError

_LOOKS_EVERY_S = 0.002


def begin(tree: Tree, words: Sequence[object], output: Path, lines: int) -> None:
    """Run ``amssim`` with ``words``; kill it once ``lines`` tasks for ``output`` are recorded.

    Raises:
        ResourceError: it ended before.
    """
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(tree.command(*words), stdout=nowhere, stderr=nowhere) as process:
        while process.poll() is None and recorded(output) < lines:
            time.sleep(_LOOKS_EVERY_S)
        process.send_signal(signal.SIGKILL)
    if process.returncode != -signal.SIGKILL:
        raise ResourceError(f"a run that was to be killed after {lines} tasks ended before")


def recorded(output: Path) -> int:
    """Return how many tasks for the new directory ``output`` are recorded as finished."""
    files = output.parent.glob(".amssim-*.partial/progress.jsonl")
    return sum(path.read_bytes().count(b"\n") for path in files)
