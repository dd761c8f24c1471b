"""The digest of launch plans of many random products: a plan cannot change unnoticed.

Run from the root to renew it, after a change of plans that is meant:

    python tests/launch/launch_digest.py
"""

import hashlib
import json
import random
from pathlib import Path

from amssim.hardware import names, profile
from amssim.launch import Gpu, LaunchPlan, plan_launch

RECORD = Path(__file__).with_suffix(".json")
PRODUCTS = 12_000
#: No GPU that is sold: few multiprocessors, little shared memory, much of all.
ODD_GPUS = (
    Gpu(1, 49_152, 70),
    Gpu(7, 1_000, 90),
    Gpu(13, 101_376, 120),
    Gpu(333, 300_000, 90),
    Gpu(1024, 232_448, 90),
)
SIDES = (1024, 2048, 4096, 5120, 6144, 8192, 14336, 16384, 28672, 57344)


def known_gpus() -> list[Gpu]:
    """All GPUs that there is a profile of, as plans take them."""
    gpus = []
    for name in names():
        device = profile(name)
        if device.kind == "gpu":
            capability = round(10 * float(device.capability or 0))
            shared_bytes = int(device.value("shared_bytes_per_sm")) - 1024
            gpus.append(Gpu(int(device.value("sms")), shared_bytes, capability))
    return gpus


def products(count: int):
    """Random products, the same ones every time."""
    rng = random.Random(20_480)
    gpus = [*known_gpus(), *ODD_GPUS]
    for _ in range(count):
        rows, columns = (
            rng.choice((rng.choice(SIDES), rng.randint(1, 300), rng.randint(1, 130_000)))
            for _ in range(2)
        )
        batch = rng.choice((1, 2, 4, 8, 12, 16, 32, 64, rng.randint(1, 64)))
        yield rng.choice(gpus), rng.choice((3, 4)), rows, columns, batch


def digest(plan=plan_launch, count: int = PRODUCTS) -> str:
    """SHA-256 of the plans of these products."""
    total = hashlib.sha256()
    for product in products(count):
        total.update(
            repr([int(getattr(plan(*product), name)) for name in LaunchPlan._fields]).encode()
        )
    return total.hexdigest()


if __name__ == "__main__":
    record = {"products": PRODUCTS, "sha256": digest()}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    print(record["sha256"])
