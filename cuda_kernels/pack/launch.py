"""Launches that bring weights to the order of the kernels, and back, in memory of the caller."""

from __future__ import annotations

from functools import cache
from typing import Any

from amssim.errors import InputError
from amssim.launch.geometry import BURST
from cuda_kernels.arrays import adopt, stream_of
from cuda_kernels.driver import DriverLaunch, made_for, synchronize
from cuda_kernels.forms.canonical import canonical_arguments
from cuda_kernels.layouts import NONE, ArraySize, KernelLayout
from cuda_kernels.pack import kernel as to_form
from cuda_kernels.scales import kernel as ordering
from cuda_kernels.unpack import kernel as from_form


def to_kernel_order(
    layout: KernelLayout, canonical: Any, scales: Any = None, *, words: Any, tails: Any = None,
    ordered_scales: Any = None, stream: Any = None,
) -> None:  # fmt: skip
    """Write words, tails and ordered scales of canonical arrays, all of them on the GPU.

    They are complete when it returns: kernels read weights before the grid ahead of them has
    ended, so that being earlier in the stream is not enough.

    Args:
        layout: of the matrix.
        canonical: uint16[rows, half-words].
        scales: float32[rows, blocks]; read where ``layout.scale_units``, else used as they are.
        words, tails, ordered_scales: what is written, of the layout's sizes and any type.
        stream: a CUDA stream of any library or its handle; None is the current one of
            ``canonical``'s.

    Raises:
        InputError: an array of another size, on another GPU or not contiguous; no form.
    """
    layout.form_or_error()
    source, library = _address(layout, "canonical", canonical, layout.canonical)
    queue = stream_of(library, stream, layout.device)
    there = _checked(layout, words, tails, ordered_scales)
    with made_for(layout.device, queue):
        _repack(layout)(queue, (), source, *there[:2])
        if layout.scale_units:
            given, _ = _address(layout, "scales", scales, layout.canonical_scales)
            _order_scales(layout, back=False)(queue, (), given, there[2])
    synchronize(layout.device, queue)


def to_canonical(
    layout: KernelLayout, canonical: Any, scales: Any = None, *, words: Any, tails: Any = None,
    ordered_scales: Any = None, stream: Any = None,
) -> None:  # fmt: skip
    """Write the canonical arrays that `to_kernel_order` took; bits of no weight are zeros.

    Args:
        layout, stream: as for `to_kernel_order`.
        canonical, scales: what is written; scales where ``layout.scale_units``.
        words, tails, ordered_scales: what `to_kernel_order` wrote.

    Raises:
        InputError: as for `to_kernel_order`.
    """
    layout.form_or_error()
    target, library = _address(layout, "canonical", canonical, layout.canonical)
    queue = stream_of(library, stream, layout.device)
    there = _checked(layout, words, tails, ordered_scales)
    with made_for(layout.device, queue):
        _restore(layout)(queue, (), *there[:2], target)
        if layout.scale_units:
            given, _ = _address(layout, "scales", scales, layout.canonical_scales)
            _order_scales(layout, back=True)(queue, (), there[2], given)


def _checked(layout: KernelLayout, words: Any, tails: Any, scales: Any) -> tuple[int, int, int]:
    """Addresses of (words, tails, ordered scales), 0 for what the layout does not have."""
    at_tails = at_scales = NONE
    at_words, _ = _address(layout, "words", words, layout.words)
    if layout.tails is not None:
        at_tails, _ = _address(layout, "tails", tails, layout.tails)
    if layout.scale_units:
        at_scales, _ = _address(layout, "ordered_scales", scales, layout.scales)
    return at_words, at_tails, at_scales


def _address(layout: KernelLayout, name: str, array: Any, size: ArraySize) -> tuple[int, str]:
    """(address, library) of an array that must have that many bytes."""
    if array is None:
        raise InputError(f"{layout} needs {name}: {size.dtype}{list(size.shape)} on its GPU")
    found = adopt(name, array)
    if found.device not in (None, layout.device):
        raise InputError(f"{name} is on GPU {found.device}, {layout} on GPU {layout.device}")
    if found.nbytes != size.nbytes:
        raise InputError(
            f"{name} of {layout} must be {size.dtype}{list(size.shape)}, {size.nbytes} bytes, "
            f"found {found.dtype}{list(found.shape)}, {found.nbytes} bytes"
        )
    return found.address, found.library


@cache
def _repack(layout: KernelLayout) -> DriverLaunch:
    form = layout.form_or_error()
    sizes = layout.problem(1).sizes
    lanes = sizes["row_tiles"] * (sizes["units"] // BURST) * 32
    return DriverLaunch(
        to_form.KERNEL.function(layout.device, (to_form.THREADS, 1), form),
        (-(-lanes // to_form.THREADS), 1),
        to_form.THREADS,
        arguments=_row_arguments(layout) | {"row_tiles": sizes["row_tiles"]},
        changing=("canonical", "words", "tails"),
    )


@cache
def _restore(layout: KernelLayout) -> DriverLaunch:
    form = layout.form_or_error()
    half_words = layout.canonical.nbytes // 2
    return DriverLaunch(
        from_form.KERNEL.function(layout.device, (from_form.THREADS, 1), form),
        (-(-half_words // from_form.THREADS), 1),
        from_form.THREADS,
        arguments=_row_arguments(layout),
        changing=("words", "tails", "canonical"),
    )


def _row_arguments(layout: KernelLayout) -> dict[str, int]:
    form, scheme = layout.form_or_error(), layout.scheme
    widening = form.element.mantissa_bits - scheme.minifloat.mantissa_bits
    sizes = {"rows": layout.rows, "columns": layout.columns, "widening": widening}
    units = {"units": form.units(layout.columns)}
    return sizes | units | canonical_arguments(scheme, layout.columns)


@cache
def _order_scales(layout: KernelLayout, *, back: bool) -> DriverLaunch:
    form, together = layout.form_or_error(), layout.scale_units
    written = (layout.canonical_scales if back else layout.scales).nbytes // 4
    return DriverLaunch(
        ordering.KERNEL.function(layout.device, (ordering.THREADS, 1), back=back),
        (-(-written // ordering.THREADS), 1),
        ordering.THREADS,
        arguments={
            "count_out": written,
            "rows": layout.rows,
            "blocks": layout.blocks,
            "row_tiles": form.tiles(layout.rows),
            "several": form.units(layout.columns) // together,
            "stored_columns": together * form.unit_weights,
            "scale_block": layout.scale_block or layout.columns,
        },
        changing=("source", "out"),
    )
