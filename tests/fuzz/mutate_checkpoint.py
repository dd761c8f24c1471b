"""Changes bytes of small checkpoints millions of times: python tests/fuzz/mutate_checkpoint.py

Each change must end in equal data or in an error of amssim's. Changes come in batches; a batch is
decided by the seed and its number alone, so that any can be run again (--batch), and a run that was
stopped goes on where the state file (--state) says. What fails is written beside the state file.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.targets import Target, targets

BATCH = 1000


def run_batch(all_targets: list[Target], seed: int, batch: int, count: int = BATCH) -> Counter:
    """Make ``count`` changes; return how often each target ended in what.

    What a fault raises has its target and the number of the change as a note.
    """
    rng, outcomes = Random(f"{seed} {batch}"), Counter()
    shares = [target.share for target in all_targets]
    for number, target in enumerate(rng.choices(all_targets, shares, k=count)):
        own = Random(rng.getrandbits(64))
        try:
            outcomes[f"{target.name}: {target.once(own)}"] += 1
        except Exception as error:
            error.add_note(f"{target.name}: seed {seed}, batch {batch}, change {number}")
            raise
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000_000, help="changes in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, help="run this batch alone, let what it raises pass")
    parser.add_argument("--state", type=Path, default=Path("mutations.json"), help="goes on here")
    args = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        made = targets(Path(folder))
        if args.batch is not None:
            sys.exit(json.dumps(run_batch(made, args.seed, args.batch), indent=1, sort_keys=True))
        go_on(made, args)


def go_on(made: list[Target], args: argparse.Namespace) -> None:
    """Run batches until the count is reached; keep the state after each."""
    state = {"seed": args.seed, "batches": 0, "seconds": 0.0, "faults": 0, "outcomes": {}}
    if args.state.exists():
        state = json.loads(args.state.read_text())
    while state["batches"] * BATCH < args.count:
        start, outcomes = time.perf_counter(), Counter(state["outcomes"])
        try:
            outcomes += run_batch(made, state["seed"], state["batches"])
        except Exception as error:
            state["faults"] += 1
            keep(error, args.state.with_suffix(f".fault-{state['faults']}"))
        state["outcomes"] = dict(sorted(outcomes.items()))
        state["batches"] += 1
        state["seconds"] += time.perf_counter() - start
        args.state.write_text(json.dumps(state, indent=1) + "\n")


def keep(error: Exception, path: Path) -> None:
    path.write_text("".join(traceback.format_exception(error)))
    path.with_suffix(path.suffix + ".bytes").write_bytes(getattr(error, "raw", b""))


if __name__ == "__main__":
    main()
