"""What a measurement was made on, and with."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from amssim._threads import available_cpus

_PACKAGES = ("amssim", "numpy", "numba", "ml_dtypes")


def describe() -> dict[str, object]:
    """Return processor, number of CPUs, system and package versions.

    >>> sorted(describe())
    ['cpus', 'processor', 'python', 'system', 'versions']
    """
    return {
        "processor": processor(),
        "cpus": available_cpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def processor() -> str:
    """Return the processor's own name, with family and model where Linux tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    found = {key.strip(): value.strip() for key, value in pairs}
    name = found.get("model name", "unknown")
    if "cpu family" in found:
        name += f" (family {found['cpu family']}, model {found.get('model', '?')})"
    return name
