"""The simple models that others use, for comparison only.

Each takes the same arrays: the bit ratio alone; a roofline of datasheet peaks, the form of
LLM-Viewer (arXiv:2402.16363); and constants, 80 % of the bandwidth plus 3 us, which
ai-dynamo/aiconfigurator falls back to (systems/*.yaml: mem_bw_empirical_scaling_factor,
mem_empirical_constant_latency).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amssim.hardware import Profile

Array = NDArray[np.float64]
CONSTANT_SHARE = 0.8
CONSTANT_S = 3e-6


def _bytes(rows: Array, columns: Array, batch: Array, bits: Array) -> Array:
    return rows * columns * bits / 8 + 2 * batch * (rows + columns)


def bit_ratio(profile: Profile, rows: Array, columns: Array, batch: Array, bits: Array) -> Array:
    """Seconds at the peak bandwidth for the weights alone: their ratio is 16 / bits."""
    return rows * columns * bits / 8 / profile.value("dram_bytes_per_s")


def roofline(profile: Profile, rows: Array, columns: Array, batch: Array, bits: Array) -> Array:
    """Seconds as the larger of bytes / peak bandwidth and FLOPs / peak rate."""
    memory = _bytes(rows, columns, batch, bits) / profile.value("dram_bytes_per_s")
    compute = 2 * rows * columns * batch / profile.value("tensor_flops")
    return np.maximum(memory, compute)


def constants(profile: Profile, rows: Array, columns: Array, batch: Array, bits: Array) -> Array:
    """Seconds as bytes at 80 % of the bandwidth plus 3 us."""
    moved = _bytes(rows, columns, batch, bits)
    return moved / (CONSTANT_SHARE * profile.value("dram_bytes_per_s")) + CONSTANT_S


BASELINES = {"16/bits": bit_ratio, "roofline": roofline, "constants": constants}
