"""The public codec: quantize, dequantize, pack, unpack. What they are given is checked first."""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from amssim._tensors import is_tensor_dtype, tensor_of
from amssim._threads import over_rows, thread_count
from amssim._whole import check_scale_block
from amssim.codec.bands import fillable_bands, float32_bands, read_only
from amssim.codec.constants import element_numbers, layout_numbers
from amssim.codec.encoding import Encoder
from amssim.codec.packing import Chunk
from amssim.codec.rows import dequantize_rows, pack_rows, quantize_rows, unpack_rows
from amssim.codec.scales import ScaleSearch, mse_rows
from amssim.errors import InputError
from amssim.layout import layout
from amssim.rules import SEARCH_RULES, check_scale, check_search
from amssim.scheme import Scheme
from amssim.scheme import scheme as find_scheme
from amssim.tensor import _checks as checks
from amssim.tensor.packed import PackedTensor

# A thread more for every so many weights: below, starting it costs what it saves.
_WEIGHTS_PER_THREAD = 1 << 15


def quantize(
    weights: Any,
    scheme: str | Scheme = "fp5.33-e2m3",
    *,
    search: str = "adaptive",
    scale: str = "absmax",
    scale_block: int | None = None,
    importance: np.ndarray | None = None,
    threads: int | None = None,
    name: str = "weights",
) -> PackedTensor:
    """Quantise a weight matrix (output channels, input channels) and pack it.

    The bits of the result depend on no number of threads and equal those of `amssim.reference`.

    Args:
        weights: float16, bfloat16, float32 or float64 [rows, columns], of any strides, finite.
            float64 is first rounded to float32. Not copied as a whole. An array, or a tensor of
            PyTorch on the CPU.
        scheme: the number format, or its name.
        search: how shared bits are chosen, one of `amssim.rules.SEARCH_RULES`.
        scale: how scales are chosen, one of `amssim.rules.SCALE_RULES`.
        scale_block: columns that share a scale; None is the whole row.
        importance: weight >= 0 of each column's squared error, such as the mean square of its
            activations: for the searches that compare errors, and for the scale rule mse.
        threads: None uses every CPU of the process.
        name: what error messages call the matrix.

    Raises:
        InputError: weights or another argument that do not meet this; NaN and infinities.
        SchemeError: an unknown scheme or rule.

    >>> import numpy as np
    >>> packed = quantize(np.float32([[0.1, -0.2, 7.5]]), "fp5.33", search="adaptive")
    >>> packed.dequantize().tolist()
    [[0.125, -0.125, 7.5]]
    """
    scheme = find_scheme(scheme)
    search_index = SEARCH_RULES.index(check_search(search))
    by_mse = check_scale(scale) == "mse"
    matrix = checks.check_weight_matrix(weights, name)
    rows, columns = matrix.shape
    scale_block = check_scale_block(scale_block, columns)
    block = scale_block or columns
    importance = checks.check_importance(importance, columns)
    words = np.empty((rows, layout(scheme).row_words(columns)), np.uint16)
    scales = np.empty((rows, -(-columns // block)), np.float32)

    def work(start: int, stop: int) -> None:
        encoder = Encoder.of(scheme, search_index, importance)
        for first, last, band in float32_bands(matrix, start, stop):
            own = scales[first:last]
            quantize_rows(band, own, block, True, encoder, words[first:last])
            if by_mse:  # its candidates are multiples of the absmax scales
                mse_rows(band, block, ScaleSearch.of(encoder), own)
                quantize_rows(band, own, block, False, encoder, words[first:last])

    over_rows(work, rows, _threads_for(matrix.size, threads))
    checks.check_scales_finite(matrix, scales, name)
    return PackedTensor(scheme, (rows, columns), words, scales, scale_block)


@overload
def dequantize(
    packed: PackedTensor,
    dtype: np.dtype | type | str = ...,
    *,
    out: np.ndarray | None = ...,
    threads: int | None = ...,
) -> np.ndarray: ...
@overload
def dequantize(
    packed: PackedTensor, dtype: Any, *, out: Any = ..., threads: int | None = ...
) -> Any: ...
def dequantize(
    packed: PackedTensor,
    dtype: Any = np.float32,
    *,
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Return the weights of ``packed``, dtype[rows, columns].

    Each is value * scale rounded to float32, and that rounded to ``dtype``: in float16 a weight
    beyond 65504 becomes infinite.

    Args:
        packed: the tensor.
        dtype: float16, bfloat16, float32 or float64, as a type or a name; a type of PyTorch gives
            a tensor.
        out: array or tensor of that dtype and shape, of any strides, to write to and return.
        threads: None uses every CPU of the process.

    Raises:
        InputError: no packed tensor, another dtype, or an ``out`` that does not fit.

    >>> import numpy as np
    >>> dequantize(quantize(np.float32([[0.125, -1.125, 7.5]])), "float16")
    array([[ 0.125, -1.125,  7.5  ]], dtype=float16)
    """
    if not isinstance(packed, PackedTensor):
        raise InputError(f"dequantize takes a PackedTensor, found {type(packed).__name__}")
    chosen = checks.check_weight_dtype(dtype)
    weights = checks.check_out(out, packed.shape, chosen)
    rows, columns = packed.shape
    words, scales = packed.words, packed.scales
    block = packed.scale_block or columns
    numbers = element_numbers(packed.scheme.minifloat), layout_numbers(packed.scheme)

    def work(start: int, stop: int) -> None:
        chunk = Chunk.of(numbers[1])
        for first, last, band in fillable_bands(weights, start, stop):
            dequantize_rows(words[first:last], scales[first:last], block, *numbers, chunk, band)

    over_rows(work, rows, _threads_for(weights.size, threads))
    if out is not None:
        return out
    return tensor_of(weights) if is_tensor_dtype(dtype) else weights


def pack(
    codes: np.ndarray,
    scheme: str | Scheme,
    *,
    out: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """Pack codes into the canonical layout: uint8[rows, columns] -> uint16[rows, half-words].

    Args:
        codes: every one below 2^bits, with one last bit in each group.
        scheme: the number format, or its name.
        out: array of that dtype and shape to write to and return.
        threads: None uses every CPU of the process.

    Raises:
        InputError: codes that are not so, with the place of the first; an ``out`` that does not
            fit.
        SchemeError: an unknown scheme.

    >>> import numpy as np
    >>> pack(np.uint8([[0b000011, 0b100001, 0b011111]]), "fp5.33")
    array([[48641]], dtype=uint16)
    """
    scheme, codes = find_scheme(scheme), checks.check_codes(codes)
    rows, columns = codes.shape
    words = checks.check_out(out, (rows, layout(scheme).row_words(columns)), np.dtype(np.uint16))
    numbers, source = layout_numbers(scheme), read_only(codes)
    valid: list[bool] = []

    def work(start: int, stop: int) -> None:
        chunk = Chunk.of(numbers)
        valid.append(pack_rows(source[start:stop], numbers, chunk, words[start:stop]))

    over_rows(work, rows, _threads_for(codes.size, threads))
    if not all(valid):
        raise checks.invalid_codes(codes, scheme)
    return words


def unpack(
    words: np.ndarray,
    scheme: str | Scheme,
    columns: int,
    *,
    out: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """Return the codes of packed words: uint16[rows, half-words] -> uint8[rows, columns].

    Args:
        words: the canonical layout of rows with ``columns`` weights; padding bits are ignored.
        scheme: the number format, or its name.
        columns: weights of a row.
        out: array of that dtype and shape to write to and return.
        threads: None uses every CPU of the process.

    Raises:
        InputError: words whose dtype or shape is another; an ``out`` that does not fit.
        SchemeError: an unknown scheme.

    >>> import numpy as np
    >>> unpack(np.uint16([[48641]]), "fp5.33", 3)
    array([[ 3, 33, 31]], dtype=uint8)
    """
    scheme, columns = find_scheme(scheme), checks.check_columns(columns)
    source = read_only(checks.check_words(words, scheme, columns))
    codes = checks.check_out(out, (source.shape[0], columns), np.dtype(np.uint8))
    numbers = layout_numbers(scheme)

    def work(start: int, stop: int) -> None:
        unpack_rows(source[start:stop], numbers, Chunk.of(numbers), codes[start:stop])

    over_rows(work, codes.shape[0], _threads_for(codes.size, threads))
    return codes


def _threads_for(weights: int, threads: int | None) -> int:
    return min(thread_count(threads), 1 + weights // _WEIGHTS_PER_THREAD)
