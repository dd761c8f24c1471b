"""The array library under the forward pass: numpy, or PyTorch where it is installed.

The forward pass uses only functions that both spell alike, so it exists once.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from amssim.errors import InputError, ResourceError

BACKENDS = ("numpy", "torch")


@dataclass(frozen=True)
class Backend:
    """``xp`` is the module with the functions, ``device`` where PyTorch keeps its arrays."""

    xp: ModuleType
    device: str | None = None

    @property
    def name(self) -> str:
        """What computes: numpy, or PyTorch on a device by its own name."""
        if self.xp is np:
            return "numpy"
        cuda = self.device == "cuda"
        return f"torch on {self.xp.cuda.get_device_name() if cuda else 'CPU'}"

    def array(self, values: np.ndarray) -> Any:
        """Return float32 (or integer) numpy ``values`` as an array of this library."""
        if self.xp is np:
            return values
        return self.xp.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def numpy(self, values: Any) -> np.ndarray:
        """Return an array of this library as a numpy array."""
        array: np.ndarray = values if self.xp is np else values.cpu().numpy()
        return array


def backend(name: str = "numpy") -> Backend:
    """Return the backend ``name``; PyTorch takes the GPU if it sees one.

    Raises:
        InputError: another name.
        ResourceError: PyTorch is not installed.

    >>> backend().array(np.float32([1])).dtype
    dtype('float32')
    """
    if name not in BACKENDS:
        raise InputError(f"unknown backend {name!r}: choose one of {', '.join(BACKENDS)}")
    if name == "numpy":
        return Backend(np)
    try:
        import torch
    except ImportError:
        raise ResourceError(
            "the torch backend needs PyTorch: pip install 'amssim[torch]', or use numpy"
        ) from None
    torch.set_grad_enabled(False)
    return Backend(torch, "cuda" if torch.cuda.is_available() else "cpu")
