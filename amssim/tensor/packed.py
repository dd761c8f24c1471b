"""PackedTensor: a quantised weight matrix as it is stored.

Its methods are the public functions of the package, asked of `amssim` when they are called: what
they do builds on this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from operator import index
from pathlib import Path
from typing import Any, NoReturn, overload

import numpy as np

import amssim
from amssim._checks import as_array
from amssim._tensors import as_given
from amssim._units import size
from amssim._whole import check_scale_block
from amssim.codec.bands import read_only
from amssim.errors import InputError
from amssim.layout import Layout, layout
from amssim.scheme import Scheme
from amssim.scheme import scheme as find_scheme
from amssim.tensor._checks import check_batch


@dataclass(frozen=True, init=False, eq=False, repr=False)
class PackedTensor:
    """A weight matrix W[rows, columns] in the canonical packed layout, immutable.

    ``packed @ x`` and ``x @ packed.T`` are the products of mathematics, as with arrays.

    Args:
        scheme: the number format, or its name.
        shape: (rows, columns) of the matrix, without padding.
        words: uint16[rows, half-words per row], laid out as `amssim.layout.Layout` says.
        scales: float32[rows, blocks per row], finite and positive; weight = value * scale.
        scale_block: columns that share a scale; None, the default, is the whole row.

    Raises:
        InputError: an argument whose dtype, shape or value contradicts the others.
        SchemeError: an unknown scheme.

    >>> import amssim, numpy as np
    >>> packed = amssim.quantize(np.float32([[0.125, -1.125, 7.5]]), "fp5.33")
    >>> packed
    PackedTensor(fp5.33-e2m3, 1x3, 16 bits/weight, 6 B)
    >>> packed.dequantize()
    array([[ 0.125, -1.125,  7.5  ]], dtype=float32)
    >>> packed @ np.float32([1, 1, 1])
    array([6.5], dtype=float32)
    """

    scheme: Scheme
    shape: tuple[int, int]
    words: np.ndarray
    scales: np.ndarray
    scale_block: int | None
    #: what kernels derive from the words, such as their own word order; never stored
    derived: dict[str, Any]

    __array_ufunc__ = None  # operators with arrays are those of this class

    def __init__(
        self,
        scheme: Scheme | str,
        shape: tuple[int, int],
        words: np.ndarray,
        scales: np.ndarray,
        scale_block: int | None = None,
    ):
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("scheme", find_scheme(scheme))
        put("shape", _check_shape(shape))
        rows, columns = self.shape
        put("scale_block", check_scale_block(scale_block, columns))
        words_shape = rows, self.layout.row_words(columns)
        scales_shape = rows, -(-columns // self.scale_block) if self.scale_block else 1
        put("words", _check_part("words", words, np.uint16, words_shape))
        put("scales", _check_part("scales", scales, np.float32, scales_shape))
        if not (np.isfinite(self.scales) & (self.scales > 0)).all():
            raise InputError("scales hold a value that is not finite and positive")
        put("derived", {})

    @property
    def layout(self) -> Layout:
        """Where the bits of a row lie."""
        return layout(self.scheme)

    @property
    def bits_per_weight(self) -> Fraction:
        """Payload bits per weight of the scheme, without padding and scales."""
        return self.scheme.bits

    @property
    def effective_bits(self) -> Fraction:
        """All stored bits, padding and scales included, per weight."""
        return Fraction(8 * self.nbytes, self.shape[0] * self.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of words and scales."""
        return self.words.nbytes + self.scales.nbytes

    def codes(self) -> np.ndarray:
        """Return the code of every weight, uint8[rows, columns], sign bit first."""
        return amssim.unpack(self.words, self.scheme, self.shape[1])

    def shared_bits(self) -> np.ndarray:
        """Return the shared bit of every group, uint8[rows, groups]."""
        return self.codes()[:, :: self.scheme.k] & 1

    @overload
    def dequantize(self, dtype: np.dtype[Any] | type | str = ...) -> np.ndarray: ...
    @overload
    def dequantize(self, dtype: Any) -> Any: ...
    def dequantize(self, dtype: Any = np.float32) -> Any:
        """Return the weights, dtype[rows, columns].

        Each is value * scale, rounded to float32 and then to ``dtype``, which is float16,
        bfloat16, float32 or float64, as a type or a name. A type of PyTorch gives a tensor.
        """
        return amssim.dequantize(self, dtype)

    def __matmul__(self, x: Any) -> Any:
        """Return the float32 product W x, a tensor where x is one.

        x[columns] gives [rows], x[columns, batch] gives [rows, batch]. A batch whose rows are the
        vectors, as layers have it, is multiplied as ``x @ packed.T`` or by `amssim.gemv`, which
        says how precise all of these are.
        """
        batch = check_batch(x, self.shape[1], axis=0)
        products = amssim.gemv(self, batch)
        return as_given(products.reshape(-1) if np.ndim(x) == 1 else products.T, x)

    def __rmatmul__(self, x: Any) -> NoReturn:
        """Refuse x @ packed."""
        raise InputError("x @ packed has no meaning: write x @ packed.T or packed @ x")

    @property
    def T(self) -> TransposedTensor:
        """The transpose, for ``x @ packed.T`` with x[columns] or x[batch, columns]."""
        return TransposedTensor(self)

    def to_gpu(self, bias: np.ndarray | None = None) -> amssim.gpu.GpuTensor:
        """Copy the weights to the current GPU as a `GpuTensor`; see `amssim.gpu`."""
        return amssim.gpu.to_gpu(self, bias)

    def save(self, path: str | Path, *, name: str = "weight", overwrite: bool = False) -> None:
        """Write one safetensors file, whole or not at all; ``name`` is the tensor's name in it."""
        amssim.checkpoint.save_packed(self, path, name=name, overwrite=overwrite)

    @classmethod
    def load(
        cls, path: str | Path, *, name: str | None = None, verify: bool = True
    ) -> PackedTensor:
        """Read what `save` wrote, and check it against its checksum unless told not to.

        ``name`` is needed only if the file holds several tensors.
        """
        return amssim.checkpoint.load_packed(path, name=name, verify=verify)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedTensor):
            return NotImplemented
        same_form = (self.scheme, self.shape, self.scale_block) == (
            other.scheme,
            other.shape,
            other.scale_block,
        )
        return (
            same_form
            and np.array_equal(self.words, other.words)
            and np.array_equal(self.scales, other.scales)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        rows, columns = self.shape
        bits = f"{float(self.effective_bits):.4g} bits/weight"
        block = f", scale block {self.scale_block}" if self.scale_block else ""
        about = f"{self.scheme.name}, {rows}x{columns}, {bits}{block}, {size(self.nbytes)}"
        return f"PackedTensor({about})"

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Copies and pickles hold what is stored, and are as immutable."""
        return type(self), (self.scheme, self.shape, self.words, self.scales, self.scale_block)


class TransposedTensor:
    """A view of W[rows, columns] as its transpose, of which nothing is computed or copied.

    Made by `PackedTensor.T`; its own ``T`` is that tensor.

    >>> import amssim
    >>> packed = amssim.quantize(np.float32([[0.625, -1.125, 7.5], [7.5, 0.125, -0.375]]), "fp5.33")
    >>> np.float32([[2, 1, 1], [0, 0, 1]]) @ packed.T
    array([[ 7.625, 14.75 ],
           [ 7.5  , -0.375]], dtype=float32)
    """

    __array_ufunc__ = None  # x @ packed.T is ours, also where x is an array

    def __init__(self, packed: PackedTensor):
        self.T = packed

    @property
    def shape(self) -> tuple[int, int]:
        """(columns, rows) of the packed matrix."""
        rows, columns = self.T.shape
        return columns, rows

    def __rmatmul__(self, x: Any) -> Any:
        """Return the float32 products with x[columns] or x[batch, columns]; see `amssim.gemv`."""
        return amssim.gemv(self.T, x)

    def __matmul__(self, x: Any) -> NoReturn:
        """Refuse packed.T @ x."""
        raise InputError("packed.T @ x has no meaning: write x @ packed.T or packed @ x")

    def __repr__(self) -> str:
        return f"{self.T!r}.T"


def _check_shape(shape: Any) -> tuple[int, int]:
    try:
        rows, columns = map(index, shape)
    except (TypeError, ValueError):
        raise InputError(f"shape must be (rows, columns), found {shape!r}") from None
    if rows < 1 or columns < 1:
        raise InputError(f"shape must have at least one row and one column, found {rows}x{columns}")
    return rows, columns


def _check_part(name: str, part: Any, dtype: type, shape: tuple[int, int]) -> np.ndarray:
    array = as_array(part, name)
    if array.dtype != dtype or array.shape != shape:
        raise InputError(
            f"{name} must be {np.dtype(dtype).name}{list(shape)}, "
            f"found {array.dtype.name}{list(array.shape)}"
        )
    return read_only(np.ascontiguousarray(array))
