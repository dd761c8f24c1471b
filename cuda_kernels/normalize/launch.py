"""The launch that brings activations of any kind to a workspace."""

from __future__ import annotations

from amssim.launch.geometry import starts_early
from cuda_kernels.driver import DriverLaunch, gpu_of
from cuda_kernels.normalize.kernel import KERNEL, THREADS

ALIGNED = 256  # where the scales begin


class Normalization:
    """x[batch, columns] at any address -> float16 rows of whole 16 bytes, and a scale of each.

    Args:
        device: ordinal of the GPU.
        dtype: of x, float16 or bfloat16.
        batch, columns: its shape.

    Attributes:
        scales_at: bytes from the rows to their scales.
        nbytes: of rows and scales.
    """

    def __init__(self, device: int, dtype: str, batch: int, columns: int):
        early = starts_early(gpu_of(device))
        padded = -(-columns // 8) * 8
        self.scales_at = -(-2 * batch * padded // ALIGNED) * ALIGNED
        self.nbytes = self.scales_at + 4 * batch
        self._launch = DriverLaunch(
            KERNEL.function(device, (THREADS, 1), dtype, early=early),
            (1, batch),
            THREADS,
            arguments={"columns": columns, "padded": padded},
            changing=("x", "out", "scales"),
            shared_bytes=8 * THREADS,
            early=early,
        )

    def __call__(self, stream: int, source: int, place: int) -> int:
        """Launch it on x at ``source``; returns the address of the scales."""
        scales = place + self.scales_at
        self._launch(stream, source, place, scales)
        return scales
