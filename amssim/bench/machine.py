"""What a measurement was made on, and with."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from amssim._threads import available_cpus
from amssim.bench.gpu.clock import driver_value
from amssim.bench.gpu.graphs import torch_or_error

_PACKAGES = ("amssim", "numpy", "numba", "ml_dtypes")
_GPU_PACKAGES = ("numba", "numba-cuda", "numpy", "torch", "cuda-bindings")
_CPUINFO = Path("/proc/cpuinfo")


def describe_machine() -> dict[str, object]:
    """Return processor, number of CPUs, system and package versions.

    >>> sorted(describe_machine())
    ['cpus', 'processor', 'python', 'system', 'versions']
    """
    return {
        "processor": processor(),
        "cpus": available_cpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def describe_gpu() -> dict[str, Any]:
    """Return the GPU's name and multiprocessors, the driver's CUDA and package versions.

    Raises:
        ResourceError: no PyTorch or no GPU.
    """
    torch = torch_or_error()
    from cuda.bindings import driver

    newest = driver_value(driver.cuDriverGetVersion())
    return {
        "gpu": torch.cuda.get_device_name(),
        "multiprocessors": torch.cuda.get_device_properties(0).multi_processor_count,
        "driver_cuda": f"{newest // 1000}.{newest % 1000 // 10}",
        "versions": {name: version(name) for name in _GPU_PACKAGES},
    }


def processor() -> str:
    """Return the processor's name, with family and model where Linux tells them."""
    told = _cpuinfo()
    name = processor_name()
    if "cpu family" in told:
        name += f" (family {told['cpu family']}, model {told.get('model', '?')})"
    return name


def processor_name() -> str:
    """Return the processor's own name alone."""
    name = _cpuinfo().get("model name")
    return name or platform.processor() or platform.machine() or "unknown"


def _cpuinfo() -> dict[str, str]:
    """What Linux tells of the last processor, which is as all others; elsewhere nothing."""
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}
