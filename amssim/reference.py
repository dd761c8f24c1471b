"""The specification, executable: slow, obvious numpy that every fast path must equal bit for bit.

Arrays are trusted here: 2-D finite float32 weights, valid codes and words. Validation lives in
`amssim.codec`. The text of each rule is docs/FORMAT.md, sections 3 and 4.
"""

from __future__ import annotations

import numpy as np

from amssim.layout import HALF_WORD_BITS, layout
from amssim.minifloat import Minifloat
from amssim.rules import MSE_FACTORS
from amssim.scheme import Scheme

SMALLEST_SCALE = np.finfo(np.float32).smallest_normal


# --- rounding ---------------------------------------------------------------------------------


def nearest(magnitude: np.ndarray, element: Minifloat) -> np.ndarray:
    """Round float32 ``magnitude`` >= 0 to the nearest code of sign 0, ties to even, saturating."""
    return _nearest_on(element.values[: element.magnitudes], magnitude)


def nearest_with_bit(magnitude: np.ndarray, element: Minifloat, bit: int) -> np.ndarray:
    """Round to the nearest code whose last bit is ``bit``; a tie goes to the even top code."""
    grid = element.values[bit : element.magnitudes : 2]
    return 2 * _nearest_on(grid, magnitude) + bit


def _nearest_on(grid: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    """Index of the nearest grid point; a tie goes to the even index."""
    midpoints = (grid[:-1].astype(np.float64) + grid[1:]) / 2
    x = magnitude.astype(np.float64)
    below = np.searchsorted(midpoints, x, side="left")  # x == midpoint stays at the lower point
    above = np.searchsorted(midpoints, x, side="right")
    return np.where(below % 2 == 0, below, above)


# --- the shared bit ---------------------------------------------------------------------------


def candidates(x: np.ndarray, element: Minifloat, search: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes of sign 0 that |x| gets where the shared bit is 0, and where it is 1."""
    magnitude = np.abs(x)
    if search in ("replace", "majority"):
        rounded = nearest(magnitude, element)
        return rounded & ~1, rounded | 1
    return nearest_with_bit(magnitude, element, 0), nearest_with_bit(magnitude, element, 1)


def excess_of_one(x, code0, code1, element: Minifloat) -> np.ndarray:
    """float32 squared error with shared bit 1 minus that with 0, per weight.

    (a - v1)^2 - (a - v0)^2 = step (step - 2 (a - v0)) with a = |x| and step = v1 - v0, which is
    plus or minus a power of two; written so, the only rounding is that of the bracket.
    """
    v0, v1 = element.decode(code0), element.decode(code1)
    step = v1 - v0
    residual = np.abs(x) - v0
    return step * (step - np.float32(2) * residual)


def shared_bits(x, code0, code1, scheme: Scheme, search: str, importance) -> np.ndarray:
    """Shared bit of each group, bool[rows, groups]; x is float32[rows, groups * k]."""
    grouped = (x.shape[0], -1, scheme.k)
    if search in ("zero", "one"):
        return np.full((x.shape[0], x.shape[1] // scheme.k), search == "one")
    if search == "majority":
        ones = (nearest(np.abs(x), scheme.minifloat) & 1).reshape(grouped).sum(axis=2)
        return 2 * ones > scheme.k
    excess = excess_of_one(x, code0, code1, scheme.minifloat)
    if importance is not None:
        excess = importance * excess
    excess = excess.reshape(grouped)
    total = excess[:, :, 0].copy()
    for i in range(1, scheme.k):  # float32, left to right
        total += excess[:, :, i]
    return total < 0


def encode(x: np.ndarray, scheme: Scheme, search="adaptive", importance=None) -> np.ndarray:
    """Codes of normalised weights: float32[rows, cols] -> uint8[rows, cols].

    A row is padded with zeros to whole groups, and the padding takes part in the search.
    """
    element, cols = scheme.minifloat, x.shape[1]
    pad = ((0, 0), (0, -cols % scheme.k))
    x = np.pad(x, pad)
    if importance is not None:
        importance = np.pad(importance.astype(np.float32), pad[1])
    code0, code1 = candidates(x, element, search)
    bits = shared_bits(x, code0, code1, scheme, search, importance)
    magnitude = np.where(np.repeat(bits, scheme.k, axis=1), code1, code0)
    negative = (x < 0) & (magnitude != 0)  # negative zero is never written
    return (magnitude + element.sign_bit * negative).astype(np.uint8)[:, :cols]


# --- scales -----------------------------------------------------------------------------------


def absmax_scale(block: np.ndarray, element: Minifloat) -> np.float32:
    """max|w| / max_value by one float32 division, at least the smallest normal; 1 for all zeros."""
    absmax = np.abs(block).max()
    if absmax == 0:
        return np.float32(1)
    return max(absmax / np.float32(element.max_value), SMALLEST_SCALE)


def mse_scale(row, start, stop, scheme: Scheme, search, importance) -> np.float32:
    """The candidate scale with the least squared error over columns start..stop of ``row``.

    The other columns count as zeros while candidates are compared. Errors are float64, each
    weighted by its importance if given, and summed in column order; the first of equals wins.
    """
    base = absmax_scale(row[start:stop], scheme.minifloat)
    if not row[start:stop].any():
        return base
    alone = np.zeros_like(row)
    alone[start:stop] = row[start:stop]
    best, least = base, np.inf
    for factor in MSE_FACTORS:
        s = max(base * np.float32(factor), SMALLEST_SCALE)
        codes = encode((alone / s)[None], scheme, search, importance)[0]
        value = scheme.minifloat.decode(codes).astype(np.float64) * s
        square = (row.astype(np.float64) - value) ** 2
        if importance is not None:
            square = importance.astype(np.float32).astype(np.float64) * square
        error = np.cumsum(square[start:stop])[-1]
        if error < least:
            best, least = s, error
    return best


def find_scales(
    weights, scheme: Scheme, search="adaptive", scale="absmax", scale_block=None, importance=None
) -> np.ndarray:
    """Scales float32[rows, blocks]; a block is ``scale_block`` columns, or the whole row."""
    cols = weights.shape[1]
    block = scale_block or cols
    scales = np.empty((weights.shape[0], -(-cols // block)), np.float32)
    for r, row in enumerate(weights):
        for b, start in enumerate(range(0, cols, block)):
            stop = min(start + block, cols)
            if scale == "mse":
                scales[r, b] = mse_scale(row, start, stop, scheme, search, importance)
            else:
                scales[r, b] = absmax_scale(row[start:stop], scheme.minifloat)
    return scales


def spread(scales: np.ndarray, cols: int, scale_block: int | None) -> np.ndarray:
    """Scale of every weight, float32[rows, cols]."""
    return np.repeat(scales, scale_block or cols, axis=1)[:, :cols]


# --- packing ----------------------------------------------------------------------------------


def pack(codes: np.ndarray, scheme: Scheme) -> np.ndarray:
    """uint8[rows, cols] codes -> uint16[rows, half-words]; a group's codes have one last bit."""
    form = layout(scheme)
    rows, cols = codes.shape
    codes = np.pad(codes, ((0, 0), (0, form.padded_columns(cols) - cols)))
    codes = codes.reshape(rows, form.row_blocks(cols), form.block_weights)
    tops = codes >> 1 if scheme.k > 1 else codes
    stream = (tops[..., None] >> np.arange(form.field_bits)) & 1
    stream = stream.reshape(*codes.shape[:2], -1)
    if scheme.k > 1:
        stream = np.concatenate([stream, codes[..., :: scheme.k] & 1], axis=2)
    packed = np.packbits(stream.astype(bool).reshape(rows, -1), axis=1, bitorder="little")
    return packed.view("<u2").astype(np.uint16)


def unpack(words: np.ndarray, scheme: Scheme, cols: int) -> np.ndarray:
    """uint16[rows, half-words] -> uint8[rows, cols] codes; padding is dropped."""
    form = layout(scheme)
    octets = np.ascontiguousarray(words.astype("<u2")).view(np.uint8)
    stream = np.unpackbits(octets, axis=1, bitorder="little")
    stream = stream.reshape(-1, form.row_blocks(cols), form.block_words * HALF_WORD_BITS)
    top_stream = stream[..., : form.field_bits * form.block_weights]
    fields = top_stream.reshape(*stream.shape[:2], form.block_weights, form.field_bits)
    codes = (fields << np.arange(form.field_bits)).sum(axis=3)
    if scheme.k > 1:
        shared = stream[..., form.shared_offset :]
        codes = 2 * codes + np.repeat(shared, scheme.k, axis=2)
    return codes.reshape(words.shape[0], -1)[:, :cols].astype(np.uint8)


# --- the whole way ----------------------------------------------------------------------------


def quantize(
    weights, scheme: Scheme, search="adaptive", scale="absmax", scale_block=None, importance=None
) -> tuple[np.ndarray, np.ndarray]:
    """float32[rows, cols] -> words uint16[rows, half-words], scales float32[rows, blocks].

    >>> from amssim.scheme import FP5_33
    >>> words, scales = quantize(np.float32([[0.1, -0.2, 7.5]]), FP5_33)
    >>> [f"{word:016b}" for word in words[0]], scales.tolist()
    (['1011111000000000'], [[1.0]])
    """
    scales = find_scales(weights, scheme, search, scale, scale_block, importance)
    x = weights / spread(scales, weights.shape[1], scale_block)
    return pack(encode(x, scheme, search, importance), scheme), scales


def dequantize(words, scales, scheme: Scheme, cols: int, scale_block=None) -> np.ndarray:
    """float32[rows, cols]: value times scale, rounded once."""
    values = scheme.minifloat.decode(unpack(words, scheme, cols))
    return values * spread(scales, cols, scale_block)


def gemv(words, scales, scheme: Scheme, x: np.ndarray, scale_block=None) -> np.ndarray:
    """float64[rows, ...]: the product with x[cols, ...], weights exact and sums in float64."""
    cols = x.shape[0]
    values = scheme.minifloat.decode(unpack(words, scheme, cols)).astype(np.float64)
    return (values * spread(scales, cols, scale_block)) @ x.astype(np.float64)
