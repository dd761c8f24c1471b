"""Launches recorded in a CUDA graph by the driver alone, to be replayed and timed.

A graph that PyTorch records collects garbage and empties its cache first, which takes longer than
some hundred products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amssim.bench.gpu.clock import driver_value
from amssim.bench.timing import Clock


class Replay:
    """A recorded sequence of launches.

    Args:
        launch: called with (index, handle of the stream), launches one product.
        count: launches in the graph.
        stream: where to record and to replay, from `new_stream`.
        clock: of that stream.

    Raises:
        ResourceError: a call of the driver failed.
    """

    def __init__(self, launch: Callable[[int, int], object], count: int, stream: Any, clock: Clock):
        from cuda.bindings import driver

        self._driver, self._stream, self._count = driver, stream, count
        self._clock = clock
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        driver_value(driver.cuStreamBeginCapture(stream, mode))
        try:
            for i in range(count):
                launch(i, int(stream))
        finally:
            graph = driver_value(driver.cuStreamEndCapture(stream))
        self._ready = driver_value(driver.cuGraphInstantiate(graph, 0))
        driver_value(driver.cuGraphDestroy(graph))

    def once_s(self) -> float:
        """Replay once and return the seconds of one launch."""
        return self._clock(self._replay) / self._count

    def close(self) -> None:
        """Give the graph back."""
        driver_value(self._driver.cuGraphExecDestroy(self._ready))

    def _replay(self) -> None:
        driver_value(self._driver.cuGraphLaunch(self._ready, self._stream))


def new_stream() -> Any:
    """Return a stream that waits for no other."""
    from cuda.bindings import driver

    return driver_value(driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING))
