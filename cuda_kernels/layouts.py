"""How a matrix lies on a GPU for the kernels: which arrays, how large, and in which form.

All that launches need to know of weights but the addresses of their arrays, which belong to the
caller. Matrices of one scheme, shape and scale block have one layout on each device, and with it
their launches.
"""

from __future__ import annotations

from functools import cache
from math import prod
from typing import NamedTuple

from amssim.errors import InputError
from amssim.launch.geometry import BURST, GEMM_BATCH, TILE_ROWS
from amssim.layout import layout
from amssim.scheme import Scheme, scheme
from cuda_kernels.driver import gpu_of
from cuda_kernels.forms import Form, form_of
from cuda_kernels.gemv.block_scales import most_batch, scale_units
from cuda_kernels.kernel import KernelProblem

NONE = 0


class Addresses(NamedTuple):
    """Where the arrays of one matrix lie; 0 for those that it does not have.

    Attributes:
        words, tails, scales: as its `KernelLayout` says.
        bias: float32[rows].
    """

    words: int
    tails: int
    scales: int
    bias: int = NONE


class ArraySize(NamedTuple):
    """An array on the GPU, in C order."""

    shape: tuple[int, ...]
    dtype: str
    itemsize: int

    @property
    def nbytes(self) -> int:
        """Bytes of it."""
        return prod(self.shape) * self.itemsize


class KernelLayout:
    """What the arrays of a matrix are for the kernels of one GPU. `kernel_layout` makes it.

    Attributes:
        device: ordinal of the GPU.
        scheme, rows, columns, scale_block: of the matrix.
        form: the kernel form that holds it; None where the plain kernels serve the canonical words
            and scales[rows, blocks] as they are.
        scale_units: units that share stored scales, 0 for a scale per row or no form.
        most_batch: rows of x that one launch takes.
        words: uint32[row tiles, units, 32, 4], or the canonical uint16[rows, half-words].
        tails: uint32[row tiles, bursts, 32], None where the form has none.
        scales: float32[rows, n], n = 1 where a row has one scale, whose order is then that of the
            rows. Its first axis tells the rows of the matrix in every case.
    """

    def __init__(
        self, device: int, scheme: Scheme, shape: tuple[int, int], scale_block: int | None
    ):
        self.device, self.scheme, self.scale_block = device, scheme, scale_block
        self.rows, self.columns = shape
        self.form: Form | None = form_of(scheme)
        self.scale_units, self.most_batch = 0, GEMM_BATCH
        if self.form is not None and scale_block is not None:
            self.scale_units = scale_units(self.form, scale_block)
            most = most_batch(self.form, *shape, gpu_of(device)) if self.scale_units else 0
            self.form, self.most_batch = (self.form if most else None), most
        self.blocks = 1 if scale_block is None else -(-self.columns // scale_block)
        self.words, self.tails, self.scales = self._sizes()

    def _sizes(self) -> tuple[ArraySize, ArraySize | None, ArraySize]:
        form, rows = self.form, self.rows
        canonical_scales = ArraySize((rows, self.blocks), "float32", 4)
        if form is None:
            return self.canonical, None, canonical_scales
        tiles, units = form.tiles(rows), form.units(self.columns)
        words = ArraySize((tiles, units, 32, 4), "uint32", 4)
        tails = ArraySize((tiles, units // BURST, 32), "uint32", 4) if form.has_tails else None
        scales = canonical_scales
        if self.scale_units:
            count = TILE_ROWS * tiles * (1 + units // self.scale_units)
            scales = ArraySize((rows, -(-count // rows)), "float32", 4)
        return words, tails, scales

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows, self.columns

    @property
    def canonical(self) -> ArraySize:
        """The words as stored."""
        return ArraySize((self.rows, layout(self.scheme).row_words(self.columns)), "uint16", 2)

    @property
    def canonical_scales(self) -> ArraySize:
        """The scales as stored."""
        return ArraySize((self.rows, self.blocks), "float32", 4)

    @property
    def nbytes(self) -> int:
        """Bytes of words, tails and scales."""
        return self.words.nbytes + (self.tails.nbytes if self.tails else 0) + self.scales.nbytes

    def problem(self, batch: int) -> KernelProblem:
        """The product with so many rows of x.

        Raises:
            InputError: no form holds the matrix.
        """
        form = self.form_or_error()
        return KernelProblem(form, self.rows, self.columns, batch, self.scale_units)

    def form_or_error(self) -> Form:
        """The form.

        Raises:
            InputError: none holds the matrix.
        """
        if self.form is None:
            raise InputError(
                f"no kernel form holds {self.scheme.name} with scale block {self.scale_block}: "
                "the kernels take its canonical words and scales as they are"
            )
        return self.form

    def __repr__(self) -> str:
        return f"KernelLayout({self.scheme.name}, {self.rows}x{self.columns}, GPU {self.device})"


def kernel_layout(
    device: int, spec: str | Scheme, rows: int, columns: int, scale_block: int | None = None
) -> KernelLayout:
    """The layout of a matrix on a device, the same object each time.

    Raises:
        InputError: a size below 1, or a matrix that 32 bits do not count.
        SchemeError: no such scheme.
    """
    return _by_name(device, spec, rows, columns, scale_block)


@cache
def _by_name(
    device: int, spec: str | Scheme, rows: int, columns: int, scale_block: int | None
) -> KernelLayout:
    found = scheme(spec)
    if min(rows, columns, scale_block or 1) < 1 or rows * (columns + 256) >= 2**33:
        raise InputError(f"no matrix of {rows}x{columns} with scale block {scale_block}")
    return _made(device, found, rows, columns, scale_block)


@cache
def _made(
    device: int, scheme: Scheme, rows: int, columns: int, scale_block: int | None
) -> KernelLayout:
    return KernelLayout(device, scheme, (rows, columns), scale_block)
