"""Dense weights of some rows, for all matrices of a layout."""

from __future__ import annotations

from functools import cache

from amssim.launch.geometry import BURST, ROW_BYTES, TILE_ROWS, UNIT_BYTES, starts_early
from cuda_kernels.dense.kernel import KERNEL, RESIDENT, WARPS, blocks_of, run_bytes
from cuda_kernels.driver import DriverLaunch, gpu_of, made_for
from cuda_kernels.elements import kernel as elements
from cuda_kernels.forms.canonical import canonical_arguments
from cuda_kernels.layouts import Addresses, KernelLayout

PANEL_MOST_ROWS = 2**16 - TILE_ROWS  # that a grid of the kernel of elements takes


class DensePanel:
    """dtype[count, columns] of rows that begin with a row tile.

    Args:
        layout: of the weights.
        dtype: float16, bfloat16 or float32.
        count: rows of the panel.
    """

    def __init__(self, layout: KernelLayout, dtype: str, count: int):
        self._layout, self._dtype, self._count = layout, dtype, count
        form = layout.form
        self._whole: DriverLaunch | None = None
        if form is not None and not layout.scale_units and layout.columns % 8 == 0:
            self._whole = self._by_bursts()
            units = form.units(layout.columns)
            tail_bytes = 4 * 32 * (units // BURST) if form.has_tails else 0
            # bytes of a row tile; `ROW_BYTES` are those of its scales and its bias
            self._tile_bytes = (units * UNIT_BYTES, tail_bytes, ROW_BYTES // 2)
        else:
            self._elements()

    def __call__(self, stream: int, weights: Addresses, first_row: int, out: int) -> None:
        """Write rows from ``first_row`` on, a multiple of 16, to the address ``out``."""
        if self._whole is None or out % 16:
            launch = self._elements()
            launch(stream, weights[:3], out, first_row)
            return
        tile = first_row // TILE_ROWS
        places = zip(weights[:3], self._tile_bytes, strict=True)
        self._whole(stream, tuple(address + tile * size for address, size in places), out)

    def _by_bursts(self) -> DriverLaunch:
        layout, form = self._layout, self._layout.form_or_error()
        early = starts_early(gpu_of(layout.device))
        sizes = {"rows": self._count, "columns": layout.columns}
        sizes |= {"units": form.units(layout.columns), "row_tiles": form.tiles(self._count)}
        bounds = (32 * WARPS, RESIDENT)
        return DriverLaunch(
            KERNEL.function(layout.device, bounds, form, self._dtype, early=early),
            (blocks_of(form, self._count, layout.columns, WARPS), 1),
            32 * WARPS,
            arguments=sizes,
            changing=("out",),
            together=("weights", "tails", "scales"),
            shared_bytes=WARPS * 16 * run_bytes(form, self._dtype),
            early=early,
        )

    def _elements(self) -> DriverLaunch:
        return _by_elements(self._layout, self._dtype, self._count)


@cache
def _by_elements(layout: KernelLayout, dtype: str, count: int) -> DriverLaunch:
    form = layout.form
    element = layout.scheme.minifloat if form is None else form.element
    scale_columns, several, units, tiles = layout.scale_block or layout.columns, layout.blocks, 0, 0
    if form is not None:
        units, tiles = form.units(layout.columns), form.tiles(layout.rows)
        if layout.scale_units:
            scale_columns = layout.scale_units * form.unit_weights
            several = units // layout.scale_units
    sizes = {"columns": layout.columns, "units": units, "row_tiles": tiles}
    sizes |= {"scale_columns": scale_columns, "several": several}
    options = {
        "form": form,
        "in_order": bool(layout.scale_units),
        "exponent_bits": element.exponent_bits,
        "mantissa_bits": element.mantissa_bits,
    }
    return DriverLaunch(
        elements.KERNEL.function(layout.device, (elements.THREADS, 1), dtype, **options),
        (-(-layout.columns // elements.THREADS), count),
        elements.THREADS,
        arguments=sizes | canonical_arguments(layout.scheme, layout.columns),
        changing=("out", "first_row"),
        together=("weights", "tails", "scales"),
    )


def dense_panel(
    layout: KernelLayout, dtype: str, count: int, stream: int | None = None
) -> DensePanel:
    """The panel of so many rows, the same object each time.

    Args:
        layout: of the weights.
        dtype: float16, bfloat16 or float32.
        count: rows, up to `PANEL_MOST_ROWS`.
        stream: that it is to be launched on, if that may be being captured.

    Raises:
        ResourceError: its kernel is not loaded, and the stream is being captured.
    """
    with made_for(layout.device, stream):
        return _made(layout, dtype, count)


@cache
def _made(layout: KernelLayout, dtype: str, count: int) -> DensePanel:
    return DensePanel(layout, dtype, count)


def write_dense(
    layout: KernelLayout, weights: Addresses, dtype: str, out: int, stream: int
) -> None:
    """All rows: dtype[rows, columns] at the address ``out``."""
    size = (4 if dtype == "float32" else 2) * layout.columns
    for first in range(0, layout.rows, PANEL_MOST_ROWS):
        count = min(PANEL_MOST_ROWS, layout.rows - first)
        dense_panel(layout, dtype, count, stream)(stream, weights, first, out + first * size)
