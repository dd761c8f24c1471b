"""Weights to measure, layer by layer: drawn from a density, of an array, or of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from amssim._checks import check_array, check_finite, has_floats, is_filled, is_matrix
from amssim._npy import load_npy
from amssim.checkpoint.jobs.inspection import linear_sizes
from amssim.checkpoint.packed.mapping import FloatCheckpoint
from amssim.errors import InputError
from amssim.progress import Progress, Steps
from amssim.quality.layers.layer import Layers, LinearLayer
from amssim.quality.theory.density import Density

_BLOCK_WEIGHTS = 1 << 22


def from_density(
    density: Density, count: int = 1 << 22, *, columns: int = 4096, seed: int = 0
) -> Layers:
    """Yield about ``count`` independent weights in matrices of ``columns``; the seed fixes them.

    Raises:
        InputError: fewer than one of either.
    """
    if count < 1 or columns < 1:
        raise InputError(f"cannot draw {count} weights in rows of {columns}: expected 1 or more")
    rng = np.random.default_rng(seed)
    rows = max(1, round(count / columns))
    at_once = max(1, _BLOCK_WEIGHTS // columns)
    for start in range(0, rows, at_once):
        block = (min(at_once, rows - start), columns)
        yield LinearLayer(f"{density.name}[{start}]", density.sample(block, rng))


def from_array(weights: np.ndarray, name: str = "array") -> Layers:
    """Yield a matrix; a vector is one row, and leading axes of a stack count as rows."""
    weights = np.asarray(weights)
    if weights.dtype.kind not in "f" and weights.dtype.name != "bfloat16":
        raise InputError(f"{name} must hold floats, found {weights.dtype.name}")
    if weights.ndim == 0 or not weights.size:
        raise InputError(f"{name} must hold weights, found shape {list(weights.shape)}")
    with np.errstate(over="ignore"):  # infinite then, and refused where it is measured
        yield LinearLayer(name, weights.reshape(-1, weights.shape[-1]).astype(np.float32))


def from_file(path: str | Path, *, verify: bool = True) -> Layers:
    """Yield the linear layers of a checkpoint, or the array of a .npy file.

    ``verify`` compares each with its checksum, where the file has one.

    Raises:
        FormatError: a path that is neither.
        InputError: a checkpoint without linear layers.
        MismatchError: a layer that is damaged.
    """
    path = Path(path)
    if path.suffix == ".npy":
        yield from from_array(load_npy(path, "weights"), path.name)
    else:
        tensors = FloatCheckpoint(path, verify=verify)
        for name in linear_sizes(path):
            yield from from_array(tensors[name], name)


def weight_count(path: str | Path) -> int:
    """Return how many weights `from_file` yields."""
    path = Path(path)
    if path.suffix == ".npy":
        return load_npy(path, "weights").size
    return sum(linear_sizes(path).values())


def with_progress(layers: Layers, total: int, progress: Progress | None) -> Layers:
    """Yield ``layers`` of ``total`` weights, telling ``progress`` of each before it comes."""
    steps = Steps(total, progress)
    for layer in layers:
        steps(layer.name, layer.weights.size)
        yield layer


def check_matrix(name: str, weights: np.ndarray) -> np.ndarray:
    """Return ``weights`` if they are a matrix of finite numbers that is not empty.

    Raises:
        InputError: otherwise, naming the matrix, how many values, and the first place.
    """
    weights = check_array(
        np.asarray(weights),
        name,
        (is_matrix, "{name} must be a matrix [rows, cols], found {shape}"),
        (has_floats, "{name} must hold floats, found {dtype}"),
        (is_filled, "{name} is empty, shape {shape}: expected weights"),
    )
    check_finite(
        weights,
        name,
        "{name} has values that are NaN or infinite, {count} in all, the first at {first}: "
        "expected finite weights",
    )
    return weights
