"""The launch that brings activations of any kind to rows that the products read."""

from __future__ import annotations

from functools import cache

from amssim.launch.geometry import starts_early
from cuda_kernels.driver import DriverLaunch, gpu_of, made_for
from cuda_kernels.normalize.kernel import KERNEL, THREADS

ALIGNED = 256  # where the scales begin, and the workspace must


def workspace_sizes(batch: int, columns: int) -> tuple[int, int]:
    """Bytes of so many float16 rows up to their scales, and of both."""
    padded = -(-columns // 8) * 8
    scales_at = -(-2 * batch * padded // ALIGNED) * ALIGNED
    return scales_at, scales_at + 4 * batch


class Normalization:
    """x[batch, columns] at any address -> float16 rows of whole 16 bytes, and a scale of each.

    It serves every product of the same x, whatever the weights.

    Args:
        device: ordinal of the GPU.
        dtype: of x, float16 or bfloat16.
        batch, columns: its shape.

    Attributes:
        scales_at: bytes from the rows to their scales.
        nbytes: of rows and scales: the workspace, which belongs to the caller.
    """

    def __init__(self, device: int, dtype: str, batch: int, columns: int):
        early = starts_early(gpu_of(device))
        padded = -(-columns // 8) * 8
        self.scales_at, self.nbytes = workspace_sizes(batch, columns)
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
        """Launch it on x at ``source``, rows at ``place``; returns the address of the scales."""
        scales = place + self.scales_at
        self._launch(stream, (), source, place, scales)
        return scales


def normalization(
    device: int, dtype: str, batch: int, columns: int, stream: int | None = None
) -> Normalization:
    """The normalisation of such x, the same object each time.

    Args:
        device, dtype, batch, columns: of x.
        stream: that it is to be launched on.

    Raises:
        ResourceError: its kernel is not loaded, and the stream is being captured.
    """
    with made_for(device, stream):
        return _made(device, dtype, batch, columns)


@cache
def _made(device: int, dtype: str, batch: int, columns: int) -> Normalization:
    return Normalization(device, dtype, batch, columns)
