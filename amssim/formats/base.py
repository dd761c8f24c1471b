"""What every format does: it makes stored parts of weights, and weights of stored parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import ClassVar, NamedTuple

import numpy as np

from amssim._checks import check_array, check_finite, has_floats, is_filled_matrix
from amssim.errors import InputError
from amssim.formats.input_moments import InputMoments

MatrixShape = tuple[int, int]
Parts = Mapping[str, np.ndarray]


class StoredPart(NamedTuple):
    """One kind of stored number: the array's shape, and the bits each of its items takes.

    Bits are a Fraction where items have different widths; then they are the exact mean.
    """

    shape: tuple[int, ...]
    bits: int | Fraction


@dataclass(frozen=True, eq=False)
class QuantizedMatrix:
    """A matrix as a format stores it; nothing else is needed to restore it."""

    format: Format
    shape: MatrixShape
    parts: Parts

    def dequantize(self) -> np.ndarray:
        """Return the restored weights, float32[rows, cols]."""
        return self.format.decode(self.parts, self.shape).astype(np.float32, copy=False)

    @property
    def effective_bits(self) -> Fraction:
        """All stored bits per weight."""
        return self.format.bits_per_weight(self.shape)


class Format(ABC):
    """A number format for weight matrices. Subclasses are frozen dataclasses of its parameters.

    A subclass says what it stores (`layout`), how (`encode`), and what that means (`decode`).
    Stored integers lie in [0, 2^bits) or are signed and as wide; floats have their dtype's bits.
    """

    #: Formula of the bits per weight in the subclass's parameters, for whole blocks.
    formula: ClassVar[str]
    #: Where the format was published.
    source: ClassVar[str]
    #: What differs from the published method; empty if nothing does.
    simplified: ClassVar[str]
    #: What the tests compare it with.
    checked: ClassVar[str]
    #: Which input statistics `quantize` uses: "none", "diagonal" or "full".
    uses: ClassVar[str] = "none"

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name with the parameters that change the bits."""

    @property
    @abstractmethod
    def family(self) -> str:
        """Kind of format, for figures."""

    @property
    def needs_moments(self) -> bool:
        """Whether without moments of the inputs it would fall back to a simpler format."""
        return False

    @abstractmethod
    def layout(self, shape: MatrixShape) -> dict[str, StoredPart]:
        """Return everything stored for a matrix of ``shape``, by name."""

    @abstractmethod
    def encode(self, weights: np.ndarray, moments: InputMoments) -> Parts:
        """Return the parts of finite float32[rows, cols] ``weights``."""

    @abstractmethod
    def decode(self, parts: Parts, shape: MatrixShape) -> np.ndarray:
        """Return float[rows, cols] from the parts alone."""

    def bits_per_weight(self, shape: MatrixShape) -> Fraction:
        """Return all bits stored for a matrix of ``shape`` per weight, exactly.

        >>> import amssim.formats
        >>> amssim.formats.find_format("nf4", scale_block=64).bits_per_weight((512, 4096))
        Fraction(17, 4)
        """
        if len(shape) != 2 or min(shape) < 1:
            raise InputError(f"a matrix has at least one row and column, found {list(shape)}")
        parts = self.layout(shape).values()
        return sum((prod(p.shape) * Fraction(p.bits) for p in parts), Fraction(0)) / prod(shape)

    def quantize(self, weights: np.ndarray, moments: np.ndarray | None = None) -> QuantizedMatrix:
        """Quantise a matrix.

        Args:
            weights: float[rows, cols] of any float dtype, finite; float64 is rounded to float32.
            moments: second moments of the layer's inputs, E[x^2] as float[cols] or E[x x^T] as
                float[cols, cols]; None means white inputs. Formats that use none ignore them.

        Raises:
            InputError: weights that are not such a matrix, or moments that do not fit them.
        """
        w = check_weights(weights)
        return QuantizedMatrix(self, w.shape, self.encode(w, InputMoments(moments, w.shape[1])))


def check_weights(weights: np.ndarray) -> np.ndarray:
    """Return ``weights`` as contiguous float32[rows, cols].

    Raises:
        InputError: another rank, no weights, integers, or a value that is not finite.
    """
    array = check_array(
        np.asarray(weights),
        "weights",
        (is_filled_matrix, "{name} must be a filled matrix [rows, cols], found {shape}"),
        (has_floats, "{name} must be floats, found {dtype}: convert them first"),
    )
    with np.errstate(over="ignore"):
        w = np.ascontiguousarray(array, np.float32)
    check_finite(
        w,
        "weights",
        "{name} have values that are NaN, infinite or beyond float32, {count} in all, the first "
        "at {first}: expected finite weights",
    )
    return w
