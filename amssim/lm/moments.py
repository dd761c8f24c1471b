"""What the inputs of each linear layer look like: their second moments on given windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from amssim.errors import InputError
from amssim.lm.llama import Llama


def second_moments(model: Llama, windows: np.ndarray, *, batch: int = 4) -> dict[str, np.ndarray]:
    """Return E[x x^T] of each linear layer's input, float32[in, in] by weight name.

    The diagonal is the importance of an input channel; the whole matrix gives the output error
    of changed weights, and error feedback its Hessian.

    Args:
        model: whose layers are watched.
        windows: tokens [count, length].
        batch: windows per forward pass.
    """
    library, sums = model.backend, dict[str, Any]()
    seen: dict[int, tuple[Any, Any]] = {}

    def observe(layer: str, x: Any) -> None:
        key = id(x)  # layers that read the same input share one product
        if key not in seen:
            flat = x.reshape(-1, x.shape[-1])
            seen[key] = (x, flat.T @ flat)
        name = f"{layer}.weight"
        sums[name] = seen[key][1] + sums.get(name, 0.0)

    for start in range(0, len(windows), batch):
        seen.clear()
        model.logits(windows[start : start + batch], observe)
    return {name: library.numpy(total) / windows.size for name, total in sums.items()}


def activation_moments(activations: np.ndarray) -> np.ndarray:
    """Return E[x x^T], float32[cols, cols], of ``activations`` float[samples, cols].

    Raises:
        InputError: another shape, or values that are not finite or whose squares are not.
    """
    x = np.asarray(activations)
    if x.ndim != 2 or not x.size or x.dtype.kind != "f" or not np.isfinite(x).all():
        raise InputError(
            f"activations must be finite floats [samples, columns], "
            f"found {x.dtype.name}{list(x.shape)}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        x = x.astype(np.float32)
        moments: np.ndarray = x.T @ x / np.float32(len(x))
    if not np.isfinite(moments).all():
        raise InputError("activations have squares beyond float32: divide them by a power of two")
    return moments
