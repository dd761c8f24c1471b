"""Kernels -> PTX, for any GPU and without one."""

import re
from collections.abc import Callable
from typing import Any


def compile_ptx(
    kernel: Callable[..., None],
    signature: tuple[str, ...],
    capability: tuple[int, int],
    bounds: tuple[int, int],
) -> str:
    """Return the PTX of a Python kernel.

    Args:
        kernel: the Python function.
        signature: "uint64" or "uint32" per argument.
        capability: compute capability, such as (9, 0).
        bounds: (threads per block, blocks per multiprocessor).
    """
    from numba import cuda, types

    arguments = types.void(*(getattr(types, name) for name in signature))
    made: tuple[str, Any] = cuda.compile_ptx(kernel, arguments, cc=capability, launch_bounds=bounds)
    text = made[0]
    if "wgmma" in text:  # exists on this one architecture and no later one
        text = text.replace(".target sm_90", ".target sm_90a")
    return text


def entry_name(text: str) -> str:
    """Name of the kernel inside its PTX."""
    name: str = re.findall(r"\.visible \.entry (\S+)\(", text)[0]
    return name
