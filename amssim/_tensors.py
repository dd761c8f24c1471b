"""Tensors of PyTorch where arrays are taken. It is never imported: whoever has a tensor has it.

Tensors on the CPU share their memory with the arrays that are made of them, bfloat16 included.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from amssim.errors import InputError


def is_tensor(value: object) -> bool:
    """Whether ``value`` is a tensor of PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, "Tensor", ()))


def is_tensor_dtype(value: object) -> bool:
    """Whether ``value`` is an element type of PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, "dtype", ()))


def array_of(tensor: Any, name: str) -> np.ndarray:
    """Return a tensor on the CPU as an array of the same memory; ``name`` is what errors call it.

    Raises:
        InputError: a tensor without values in the CPU's memory, or one whose gradient would be
            lost; inside of ``torch.no_grad()`` there is none to lose.
        TypeError, RuntimeError: a tensor that is no array, such as a sparse one.
    """
    torch = sys.modules["torch"]
    if tensor.is_meta:
        raise InputError(f"{name} has no values: it is on the meta device")
    if tensor.device.type != "cpu":
        raise InputError(f"{name} lies on {tensor.device}, expected the CPU: give {name}.cpu()")
    if tensor.requires_grad and torch.is_grad_enabled():
        raise InputError(
            f"{name} requires a gradient, which would be lost here: give {name}.detach()"
        )
    values = tensor.detach()
    if values.dtype == torch.bfloat16:
        import ml_dtypes

        return np.asarray(values.view(torch.int16).numpy()).view(ml_dtypes.bfloat16)
    return np.asarray(values.numpy())


def tensor_of(array: np.ndarray) -> Any:
    """Return a writable array of a float dtype as a tensor of the same memory."""
    torch = sys.modules["torch"]
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def as_given(array: np.ndarray, value: object) -> Any:
    """Return ``array`` as a tensor if ``value`` is one."""
    return tensor_of(array) if is_tensor(value) else array
