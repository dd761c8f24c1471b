"""Restores a matrix under one way of sharing bits."""

from __future__ import annotations

import numpy as np

from amssim.errors import InputError
from amssim.quality.sharing.options import SharingOptions
from amssim.tensor.quantize import quantize


def reordered(weights: np.ndarray, order: str) -> np.ndarray:
    """Return the columns of ``weights`` in the given order; rows keep their places."""
    if order == "columns":
        norms = np.einsum("ij,ij->j", weights, weights, dtype=np.float64)
        return weights[:, np.argsort(norms)]
    if order == "magnitude":
        return np.take_along_axis(weights, np.argsort(np.abs(weights), axis=1), axis=1)
    return weights


def restore(
    weights: np.ndarray, options: SharingOptions, *, importance: np.ndarray | None = None
) -> np.ndarray:
    """Quantise and dequantise float32[rows, cols] ``weights``, already in the order of ``options``.

    Args:
        weights: finite.
        options: how; its ``order`` is the caller's business, see `reordered`.
        importance: float32[cols], needed where the options are weighted.
    """
    if options.weighted and importance is None:
        raise InputError("a weighted search needs activations: give the inputs of the layer")
    importance = importance if options.weighted else None
    if options.share_axis == "output":
        return _restore_across_rows(weights, options)
    return _restore_along_rows(weights, options, importance)


def _restore_along_rows(
    weights: np.ndarray, options: SharingOptions, importance: np.ndarray | None
) -> np.ndarray:
    return quantize(
        weights,
        options.scheme,
        search=options.search,
        scale=options.scale,
        scale_block=options.scale_block,
        importance=importance,
    ).dequantize()


def _restore_across_rows(weights: np.ndarray, options: SharingOptions) -> np.ndarray:
    """Scale along rows as always, then share down each column of the scaled weights.

    A group then mixes rows of different scales, so its errors count with the squared scales.
    """
    rows, cols = weights.shape
    block = options.scale_block or cols
    largest = options.scheme.minifloat.max_value
    scales = quantize(
        weights, options.scheme, scale=options.scale, scale_block=options.scale_block
    ).scales
    restored = np.empty_like(weights)
    for b, start in enumerate(range(0, cols, block)):
        s = scales[:, b : b + 1]
        part = np.clip(weights[:, start : start + block] / s, -largest, largest)
        # one more group that holds the largest value keeps this second scale at 1
        tall = np.concatenate([part, np.zeros((-rows % options.scheme.k + 1, part.shape[1]))])
        tall[-1] = largest
        squares = np.append((s / s.max()) ** 2, np.zeros(len(tall) - rows))
        values = quantize(
            np.ascontiguousarray(tall.T, np.float32),
            options.scheme,
            search=options.search,
            importance=squares.astype(np.float32),
        ).dequantize()
        restored[:, start : start + block] = values.T[:rows] * s
    return restored
