"""Kernels -> PTX, for any GPU and without one."""

import re

ADDRESS, COUNT = "uint64", "uint32"


def compile_ptx(kernel, signature: tuple, capability: tuple[int, int], bounds: tuple) -> str:
    """Return the PTX of a Python kernel.

    Args:
        kernel: the Python function.
        signature: "uint64" or "uint32" per argument.
        capability: compute capability, such as (9, 0).
        bounds: (threads per block, blocks per multiprocessor).
    """
    from numba import cuda, types

    arguments = types.void(*(getattr(types, name) for name in signature))
    text, _ = cuda.compile_ptx(kernel, arguments, cc=capability, launch_bounds=bounds)
    if "wgmma" in text:  # exists on this one architecture and no later one
        text = text.replace(".target sm_90", ".target sm_90a")
    return text


def entry_name(text: str) -> str:
    """Name of the kernel inside its PTX."""
    return re.search(r"\.visible \.entry (\S+)\(", text)[1]
