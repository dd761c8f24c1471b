"""Fill the plan in docs/CHECKPOINTS.md: what quantising a model of 1.6 TB on 32 machines takes.

    python analysis/plan_large_model.py [--check]

Bytes follow from the format, times from the rates below and in results/cpu.json, counts from how
the work is cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import markers
import recorded

from amssim import scheme

# --- the model and the machines, as the page states them --------------------------------------

SHARDS = 163
WEIGHTS = 800e9
KEPT = 0.01  # of the weights: embeddings, output head, norms, routers
COLUMNS = 7168
SCHEME = "fp5.33-e2m3"
SOURCE_BYTES = 2  # of a weight
OTHER_FILES = 8  # index, config.json, tokenizer and the like, among them the seal

MACHINES = 32
THREADS = 16  # of a machine, one task each
NETWORK = 2.9e9  # bytes per second and direction: 25 Gbit/s
DISK = 40e9  # bytes per second that the shared disk reads and writes in all
FEWER_MACHINES = (1, 4, 8, 16, 32)
DISKS = (2e9, 10e9, 40e9, 200e9)

# --- how the work is cut: as amssim.checkpoint cuts it ----------------------------------------

TASK_WEIGHTS = 1 << 22
JOURNAL_LINE = 100  # bytes of progress.jsonl for a task
HEADER_BYTES = 100_000  # of a shard with 500 tensors, long names and checksums included

# --- measured on one thread -------------------------------------------------------------------

CHECKSUM = 7.0e9  # bytes per second, zlib.crc32


@dataclass(frozen=True)
class Stage:
    """Bytes that all machines read and write, and seconds of one thread that it takes in all."""

    name: str
    read: float
    written: float
    cpu: float

    def limits(self, machines: int = MACHINES, disk: float = DISK) -> dict[str, float]:
        """Seconds that each resource needs for its part."""
        return {
            "processors": self.cpu / (machines * THREADS),
            "network": max(self.read, self.written) / machines / NETWORK,
            "shared disk": (self.read + self.written) / disk,
        }

    def seconds(self, machines: int = MACHINES, disk: float = DISK) -> float:
        """Time of the stage: that of the slowest resource."""
        return max(self.limits(machines, disk).values())

    def bound(self, machines: int = MACHINES, disk: float = DISK) -> str:
        """The slowest resource."""
        limits = self.limits(machines, disk)
        return max(limits, key=limits.__getitem__)


def source() -> float:
    """Bytes of the model as it is."""
    return WEIGHTS * SOURCE_BYTES


def result() -> float:
    """Bytes of the packed model: half-words, a scale per row, and what is kept."""
    bits = float(scheme(SCHEME).bits) + 32 / COLUMNS
    return WEIGHTS * ((1 - KEPT) * bits / 8 + KEPT * SOURCE_BYTES)


def rate() -> float:
    """Weights per second that one thread quantises: the slowest of those recorded."""
    return 1e9 * min(
        r["gweights_per_s"]
        for r in recorded.load("cpu")["results"]
        if (r["item"], r["scheme"], r["threads"]) == ("quantize", SCHEME, 1)
    )


def stages() -> list[Stage]:
    """The parts of the job, one after the other."""
    headers = SHARDS * HEADER_BYTES
    quantise = WEIGHTS * (1 - KEPT) / rate() + (source() * KEPT + result()) / CHECKSUM
    return [
        Stage("plan: every machine reads the headers", MACHINES * headers, 0, 0),
        Stage("read, quantise, write", source(), result(), quantise),
        Stage("read back and compare checksums", result(), 0, result() / CHECKSUM),
        Stage("seal, publish", 2 * headers, headers, 0),
    ]


def bytes_of(amount: float) -> str:
    """An amount of bytes with three digits."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if amount >= size:
            return f"{amount / size:.3g} {unit}"
    return f"{amount / 1e3:.0f} kB" if amount else "0"


def seconds_of(amount: float) -> str:
    """A time in seconds; below a tenth it is lost in starting up."""
    return f"{amount:.1f} s" if amount >= 0.1 else "< 0.1 s"


def time_table() -> str:
    """Bytes and seconds of each stage."""
    headings = ["stage", "read", "written", "read by a machine", "written by a machine"]
    headings += ["processors", "network", "shared disk", "takes"]
    rows: list[list[object]] = []
    for stage in stages():
        amounts = (stage.read, stage.written, stage.read / MACHINES, stage.written / MACHINES)
        times = (*stage.limits().values(), stage.seconds())
        rows.append([stage.name, *map(bytes_of, amounts), *map(seconds_of, times)])
    read, written = (sum(getattr(s, a) for s in stages()) for a in ("read", "written"))
    amounts = (read, written, read / MACHINES, written / MACHINES)
    total = seconds_of(sum(stage.seconds() for stage in stages()))
    rows.append(["in all", *map(bytes_of, amounts), "", "", "", total])
    return markers.table(headings, rows)


def size_table() -> str:
    """The whole job with fewer machines, and on other disks."""
    sizes = [(machines, DISK) for machines in FEWER_MACHINES]
    sizes += [(MACHINES, disk) for disk in DISKS if disk != DISK]
    rows = []
    for machines, disk in sizes:
        times = {stage: stage.seconds(machines, disk) for stage in stages()}
        slowest = max(times, key=times.__getitem__).bound(machines, disk)
        total = f"{sum(times.values()):.0f} s"
        rows.append([machines, f"{disk / 1e9:.0f} GB/s", total, slowest])
    return markers.table(["machines", "shared disk", "whole job", "waits for"], rows)


def count_table() -> str:
    """What the shared disk is asked for, and what a machine that dies costs."""
    tasks = WEIGHTS / TASK_WEIGHTS
    shard = source() / SHARDS
    again = min(THREADS, -(-SHARDS // MACHINES)) * shard
    rows = [
        ["shards of the source", f"{SHARDS}, {bytes_of(shard)} each"],
        ["files of the result", SHARDS + OTHER_FILES],
        ["tasks, and lines of progress.jsonl", f"{tasks:,.0f}"],
        ["progress.jsonl at its end", bytes_of(tasks * JOURNAL_LINE)],
        ["headers read by each worker process", f"{SHARDS}, {bytes_of(SHARDS * HEADER_BYTES)}"],
        ["shards opened at a time, source and result", f"at most {2 * MACHINES * THREADS}"],
        ["fsync of shards, in all", f"{3 * SHARDS}: by the worker, after its header, when sealed"],
        ["a machine that dies: done again", f"what it had in hand, at most {bytes_of(again)}"],
        ["a machine that dies: time lost", f"at most {seconds_of(again / NETWORK)} of the others"],
    ]
    return markers.table(["what", "how much"], rows)


def rates() -> str:
    """The rates that the tables are made of."""
    return (
        f"{WEIGHTS / 1e9:.0f} x 10^9 weights in BF16, {bytes_of(source())} in {SHARDS} shards, "
        f"{KEPT:.0%} of them kept, the rest to {SCHEME} in rows of {COLUMNS}. {MACHINES} machines "
        f"with {THREADS} threads and {NETWORK / 1e9:.1f} GB/s of network each; a shared disk that "
        f"reads and writes {DISK / 1e9:.0f} GB/s in all. One thread quantises "
        f"{rate() / 1e9:.2f} x 10^9 weights/s (`amssim bench cpu`) and sums up "
        f"{CHECKSUM / 1e9:.1f} GB/s (CRC-32). A stage takes as long as its slowest resource."
    )


def parts() -> dict[str, str]:
    """Every generated part of the document by its marker."""
    return {
        "plan-rates": rates(),
        "plan-times": time_table(),
        "plan-sizes": size_table(),
        "plan-counts": count_table(),
    }


if __name__ == "__main__":
    markers.main("docs/CHECKPOINTS.md", parts(), __doc__)
