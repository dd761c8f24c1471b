"""The checkpoint benchmark: what verbs take as whole processes, beside copying the same bytes.

Everything is run in turn, round after round, so that whatever else the machine does falls on all
alike; with another tree of amssim, each run of this one is followed by one of the other.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from amssim.bench.checkpoint.items import COLD, COPY, WARM, Item, Workplace
from amssim.bench.checkpoint.page_cache import drop
from amssim.bench.checkpoint.process import Tree
from amssim.bench.checkpoint.synthetic import TINY, SyntheticModel, write_model
from amssim.bench.machine import describe_machine
from amssim.checkpoint.safetensors.space import check_space
from amssim.progress import silent

#: Disk space that is needed, in sizes of the model: itself, an output, a packed one per tree.
_SPACE = 3


def benchmark_checkpoint(
    directory: Path,
    model: SyntheticModel | None = None,
    *,
    shards: int = 4,
    runs: int = 5,
    cold: bool = True,
    against: Path | None = None,
    options: Sequence[str] = (),
    continued: bool = False,
    workers: int | None = None,
    progress: Callable[[str], None] = silent,
) -> dict[str, Any]:
    """Measure on a synthetic checkpoint; return a record.

    It has machine, load_before (how many processes ran), checkpoint, options and results. A result
    is a dict of item, checkpoint ("model" or "tiny", with which a verb does little but start),
    tree, cache, runs, least_s, median_s, cpu_s and peak_bytes. What handles all bytes of the model
    also has ``gbytes_per_s`` and, in times of ``cp``, ``of_copy``; verbs have the memory above that
    of the same verb on the tiny checkpoint, and the bound on it that they state; with another tree,
    ``of_other`` is this tree's time in times of the other's. All by least times. Of what a killed
    run had begun, ``kept`` is the share of the tasks that was not done again.

    Args:
        directory: in which a temporary folder is made, and removed.
        model: sizes of the checkpoint; None is 0.8 GB in BF16.
        shards: number of its shards.
        runs: runs of each item that count, after one that does not.
        cold: also measure with files that are not in the page cache, where they can be dropped.
        against: a folder that holds another package amssim.
        options: words for the verbs that work on weights, such as ``["--threads", "2"]``.
        continued: also measure quantising what a killed run has begun; for sizes of seconds.
        workers: also measure jobs that so many processes do.
        progress: called with a line on what is measured next.

    Raises:
        ResourceError: not enough space, or a process that failed.
        InputError: more shards than layers, or no package in ``against``.
    """
    model, load = model or SyntheticModel(), os.getloadavg()[0]
    trees = [Tree.own()] + ([Tree.other(against)] if against else [])
    check_space(directory, _SPACE * model.nbytes)
    with tempfile.TemporaryDirectory(prefix="amssim-bench-", dir=directory) as folder:
        bench = Workplace(Path(folder), tuple(trees), tuple(options))
        progress("making the checkpoint")
        nbytes = write_model(bench.model, model, shards=shards)
        write_model(bench.tiny, TINY, shards=1)
        bench.prepare()
        items = _items(bench, cold, continued, workers)
        _measure(items, runs, progress)
    return {
        "machine": describe_machine(),
        "load_before": load,
        "checkpoint": {"bytes": nbytes, "weights": model.weight_count, "shards": shards},
        "options": list(options),
        "results": results(items, nbytes),
    }


def _items(bench: Workplace, cold: bool, continued: bool, workers: int | None) -> list[Item]:
    caches = (WARM, COLD) if cold and drop(bench.model) else (WARM,)
    items = [item for cache in caches for item in bench.work(cache)]
    items += bench.continued() if continued else ()
    items += bench.by_workers(workers) if workers else ()
    items += bench.starts()
    return items


def _measure(items: list[Item], runs: int, progress: Callable[[str], None]) -> None:
    for i in range(runs):
        for item in items:
            progress(f"run {i + 1} of {runs}: {item.name}")
            item.measure()


def results(items: Sequence[Item], nbytes: int) -> list[dict[str, Any]]:
    """Return what `benchmark_checkpoint` does for measured ``items`` on ``nbytes`` of files."""
    rows = {item.key: _taken(item) for item in items}
    for item, row in zip(items, rows.values(), strict=True):
        copy = rows.get(("model", COPY, "", item.cache))
        if item.checkpoint == "model" and copy:
            row["gbytes_per_s"] = nbytes / row["least_s"] / 1e9
            row["of_copy"] = row["least_s"] / copy["least_s"]
        idle = rows.get(("tiny", item.name, item.tree, WARM))
        told = (
            json.loads(item.runs[-1].output) if row["tree"] and item.checkpoint == "model" else {}
        )
        if resumed := told.get("resumed"):
            row["kept"] = resumed["tasks"] / resumed["of_tasks"]
        if item.checkpoint == "model" and idle:
            row["memory_bytes"] = max(0, row["peak_bytes"] - idle["peak_bytes"])
            row["stated_memory_bytes"] = told.get("peak_memory_bytes")
        other = rows.get((item.checkpoint, item.name, "other", item.cache))
        if item.tree == "this" and other:
            row["of_other"] = row["least_s"] / other["least_s"]
    return list(rows.values())


def _taken(item: Item) -> dict[str, Any]:
    walls = [usage.wall_s for usage in item.runs]
    return {
        "item": item.name,
        "checkpoint": item.checkpoint,
        "tree": item.tree,
        "cache": item.cache,
        "runs": len(walls),
        "least_s": min(walls),
        "median_s": statistics.median(walls),
        "cpu_s": min(usage.cpu_s for usage in item.runs),
        "peak_bytes": max(usage.peak_bytes for usage in item.runs),
    }


def _told(item: Item) -> dict[str, Any]:
    """What a verb that handles the large checkpoint says in JSON."""
    says = item.tree and item.checkpoint == "model"
    value: dict[str, Any] = json.loads(item.runs[-1].output) if says else {}
    return value
