"""The order in which products on a device read weights, made from the stored one and brought back.

On a GPU that is the order of its kernels; on the CPU FP5.33 has an order of its own where the AVX2
kernels serve. Everything else is read as it is stored.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from amssim.cpu.avx2 import vector_form
from amssim.cpu.fp533 import from_tiles, to_tiles
from amssim.cpu.operands import VectorForm
from amssim.gpu import check_available
from amssim.layout import layout
from amssim.scheme import FP5_33, scheme

if TYPE_CHECKING:
    from cuda_kernels.layouts import ArraySize, KernelLayout


class PackedForm(NamedTuple):
    """What a packed matrix is, but for its rows: ``block`` columns per scale, 0 for whole rows."""

    scheme: str
    columns: int
    block: int


class Stored(NamedTuple):
    """A packed matrix as files hold it: uint16[rows, half-words] and float32[rows, blocks]."""

    words: torch.Tensor
    scales: torch.Tensor


class Arranged(NamedTuple):
    """The same as a device reads it; the first axis of ``scales`` tells the rows in every case."""

    words: torch.Tensor
    tails: torch.Tensor | None
    scales: torch.Tensor


@cache
def cpu_form(name: str, block: int) -> VectorForm | None:
    """The vectors that the CPU reads rows as; None for the plain product.

    It is chosen once for a process: the words of a model lie in its order.
    """
    return vector_form(scheme(name), block or None)


@cache
def gpu_layout(index: int, form: PackedForm, rows: int) -> KernelLayout:
    """What kernels read on GPU number ``index``.

    Raises:
        ResourceError: no driver or numba-cuda.
        InputError: a matrix that no kernel takes.
    """
    check_available()
    from cuda_kernels import kernel_layout

    return kernel_layout(index, form.scheme, rows, form.columns, form.block or None)


def is_arranged(form: PackedForm, device: torch.device, rows: int) -> bool:
    """Whether products on ``device`` read another order than the stored one."""
    if device.type == "cuda":
        return gpu_layout(device.index, form, rows).form is not None
    tiles = scheme(form.scheme) == FP5_33 and cpu_form(form.scheme, form.block) is not None
    return device.type == "cpu" and tiles


def arrange(stored: Stored, form: PackedForm) -> Arranged:
    """Bring a matrix for which `is_arranged` holds to the order of its device."""
    words, scales = stored
    if words.device.type == "cpu":
        tiles = torch.from_numpy(to_tiles(words.detach().numpy()))
        return Arranged(tiles, None, scales)
    from cuda_kernels import to_kernel_order

    made = gpu_layout(words.device.index, form, len(words))
    there = Arranged(
        _empty(made.words, words.device),
        _empty(made.tails, words.device) if made.tails else None,
        _empty(made.scales, words.device) if made.scale_units else scales,
    )
    ordered = there.scales if made.scale_units else None
    given = scales.detach() if made.scale_units else None
    to_kernel_order(
        made, words.detach(), given, words=there.words, tails=there.tails, ordered_scales=ordered
    )
    return there


def back_to_stored(arranged: Arranged, form: PackedForm) -> Stored:
    """The inverse of `arrange`, bit for bit; bits of no weight come back as zeros."""
    words, tails, scales = arranged
    half_words = layout(scheme(form.scheme)).row_words(form.columns)
    if words.device.type == "cpu":
        return Stored(torch.from_numpy(from_tiles(words.numpy(), half_words)), scales)
    from cuda_kernels import to_canonical

    rows = len(scales)
    made = gpu_layout(words.device.index, form, rows)
    canonical = torch.empty((rows, half_words), dtype=torch.uint16, device=words.device)
    given = _empty(made.canonical_scales, words.device) if made.scale_units else None
    ordered = scales if made.scale_units else None
    to_canonical(made, canonical, given, words=words, tails=tails, ordered_scales=ordered)
    return Stored(canonical, scales if given is None else given)


def _empty(size: ArraySize, device: torch.device) -> torch.Tensor:
    dtype: Any = torch.float32 if size.dtype == "float32" else torch.int32
    return torch.empty(size.shape, dtype=dtype, device=device)
