"""Weights of PyTorch as NumPy arrays, bfloat16 included."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import torch

from amssim.errors import InputError


def as_numpy(tensor: torch.Tensor, name: str) -> np.ndarray:
    """Return a float tensor's values on the CPU, sharing memory where they are there already.

    Raises:
        InputError: a tensor without values, on the meta device.

    >>> as_numpy(torch.ones(2, dtype=torch.bfloat16), "weight").dtype
    dtype(bfloat16)
    """
    if tensor.is_meta:
        raise InputError(f"{name} has no values: it is on the meta device")
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.view(torch.uint16).numpy()).view(ml_dtypes.bfloat16)
    return np.asarray(tensor.numpy())
