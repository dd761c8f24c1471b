"""Fill the tables of speed in docs/CHECKPOINTS.md: python analysis/checkpoint_speed_tables.py

Record first, DIR being the tree of an earlier version, with nothing else running:

    amssim bench checkpoint --continued --workers 2 --against DIR \\
        --output analysis/results/checkpoint_speed.json
"""

from __future__ import annotations

import markers
import recorded

Row = dict
WARM, COLD = "warm", "cold"


def speed(record: dict) -> str:
    """Times, memory and ratios of what handles all bytes, files in the page cache."""
    found = by_key(record)
    rows = [
        [f"`{name}`", seconds(r), median(r), seconds(found.get((name, "model", "other", cache))),
         number(r, "of_other"), number(r, "gbytes_per_s"), number(r, "of_copy", 1),
         megabytes(r, "memory_bytes"), megabytes(r, "stated_memory_bytes")]
        for (name, checkpoint, tree, cache), r in found.items()
        if (checkpoint, cache) == ("model", WARM) and tree != "other"
    ]  # fmt: skip
    headings = ["", "s", "median", "before, s", "of before", "GB/s", "x `cp`", "MB", "stated MB"]
    return markers.table(headings, rows) + "\n\n" + source(record)


def cold(record: dict) -> str:
    """The same from the disk."""
    found = by_key(record)
    rows = [
        [f"`{name}`", seconds(r), seconds(found.get((name, "model", "other", cache))),
         number(r, "of_other"), number(r, "of_copy", 1)]
        for (name, checkpoint, tree, cache), r in found.items()
        if (checkpoint, cache) == ("model", COLD) and tree != "other"
    ]  # fmt: skip
    return markers.table(["from the disk", "s", "before, s", "of before", "x `cp`"], rows)


def starts(record: dict) -> str:
    """What verbs take on a checkpoint of a few kilobytes."""
    found = by_key(record)
    rows = [
        [f"`{name}`", seconds(r), seconds(found.get((name, "tiny", "other", cache))),
         number(r, "of_other")]
        for (name, checkpoint, tree, cache), r in found.items()
        if (checkpoint, tree) == ("tiny", "this")
    ]  # fmt: skip
    return markers.table(["start of", "s", "before, s", "of before"], rows)


def source(record: dict) -> str:
    """What was measured, and on what."""
    machine, about = record["machine"], record["checkpoint"]
    runs = record["results"][0]["runs"]
    return (
        f"`{record['command']}`: {about['bytes'] / 1e9:.2f} GB in {about['shards']} files, whole "
        f"processes, the least of {runs} runs in turn. MB is memory above that of the same verb on "
        f"a checkpoint of a few kilobytes. {machine['processor']}, {machine['cpus']} CPUs, "
        f"Python {machine['python']}, {markers.versions(machine)}; "
        f"{record['load_before']:.1f} processes ran when it began."
    )


def by_key(record: dict) -> dict[tuple[str, str, str, str], Row]:
    """Return results by item, checkpoint, tree and cache."""
    return {(r["item"], r["checkpoint"], r["tree"], r["cache"]): r for r in record["results"]}


def seconds(row: Row | None) -> str:
    return f"{row['least_s']:.2f}" if row else ""


def median(row: Row) -> str:
    return f"{row['median_s']:.2f}"


def number(row: Row, name: str, digits: int = 2) -> str:
    return f"{row[name]:.{digits}f}" if row.get(name) is not None else ""


def megabytes(row: Row, name: str) -> str:
    return f"{row[name] / 1e6:.0f}" if row.get(name) is not None else ""


def parts() -> dict[str, str]:
    """Every generated part of the document by its marker."""
    record = recorded.load("checkpoint_speed")
    return {"speed": speed(record), "speed-cold": cold(record), "speed-start": starts(record)}


if __name__ == "__main__":
    markers.main("docs/CHECKPOINTS.md", parts(), __doc__)
