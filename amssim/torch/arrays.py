"""Weights of PyTorch as NumPy arrays, bfloat16 included."""

from __future__ import annotations

import numpy as np
import torch

from amssim._tensors import array_of


def as_numpy(tensor: torch.Tensor, name: str) -> np.ndarray:
    """Return a float tensor's values on the CPU, sharing memory where they are there already.

    Raises:
        InputError: a tensor without values, on the meta device.

    >>> as_numpy(torch.ones(2, dtype=torch.bfloat16), "weight").dtype
    dtype(bfloat16)
    """
    return array_of(tensor.detach() if tensor.is_meta else tensor.detach().cpu(), name)


def as_rows(tensor: torch.Tensor, name: str) -> np.ndarray:
    """Return a weight as a matrix: the rows of all experts stacked where there are several."""
    return as_numpy(tensor, name).reshape(-1, tensor.shape[-1])
