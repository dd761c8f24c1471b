"""The launch of the plain product, for schemes and scales that no kernel form serves."""

from __future__ import annotations

from cuda_kernels.driver import DriverLaunch
from cuda_kernels.forms.canonical import canonical_arguments
from cuda_kernels.layouts import NONE, Addresses, KernelLayout
from cuda_kernels.plain.kernel import KERNEL, THREADS


class PlainProduct:
    """A product of canonical words, which reads x as it is.

    Args:
        layout: of the weights, without a form.
        x_dtype, dtype: of x and of the result.
        batch: rows of x.
    """

    single: None = None

    def __init__(self, layout: KernelLayout, x_dtype: str, dtype: str, batch: int):
        element = layout.scheme.minifloat
        bits = {"exponent_bits": element.exponent_bits, "mantissa_bits": element.mantissa_bits}
        self._launch = DriverLaunch(
            KERNEL.function(layout.device, (THREADS, 1), dtype, x_dtype=x_dtype, **bits),
            (layout.rows, batch),
            THREADS,
            arguments={
                "rows": layout.rows,
                "columns": layout.columns,
                "scale_block": layout.scale_block or layout.columns,
                "scale_blocks": layout.blocks,
            }
            | canonical_arguments(layout.scheme, layout.columns),
            changing=("x", "out"),
            together=("weights", "scales", "bias"),
            shared_bytes=8 * THREADS,
        )

    def workspace_nbytes(self, x: int) -> int:
        """None."""
        return 0

    def __call__(
        self, stream: int, weights: Addresses, x: int, out: int, workspace: int = NONE
    ) -> None:
        """Launch it."""
        self._launch(stream, (weights.words, weights.scales, weights.bias), x, out)
