"""The GPU's clock: seconds between two events of a stream, read from the CUDA driver."""

from __future__ import annotations

from typing import Any

from amssim.bench.timing import Call
from amssim.errors import ResourceError


class EventClock:
    """Runs a call and returns the seconds that the GPU spent on what it put on a stream.

    A clock for `amssim.bench.timing.Timer`. PyTorch and Numba put their work on stream 0 unless
    told otherwise.

    Args:
        stream: handle of the stream, on the current device.

    Raises:
        ResourceError: a call of the driver failed.
    """

    def __init__(self, stream: Any = 0):
        from cuda.bindings import driver

        self._driver, self._stream = driver, stream
        self._start, self._end = (driver_value(driver.cuEventCreate(0)) for _ in range(2))

    def __call__(self, call: Call) -> float:
        """Run ``call`` once and return the seconds between the events before and after it."""
        driver = self._driver
        driver_value(driver.cuEventRecord(self._start, self._stream))
        call()
        driver_value(driver.cuEventRecord(self._end, self._stream))
        driver_value(driver.cuEventSynchronize(self._end))
        milliseconds: float = driver_value(driver.cuEventElapsedTime(self._start, self._end))
        return milliseconds * 1e-3


def driver_value(answer: tuple[Any, ...]) -> Any:
    """Return what a call of `cuda.bindings.driver` gave beside its error code.

    Raises:
        ResourceError: the code is an error.
    """
    code, *values = answer
    if int(code):
        raise ResourceError(f"the CUDA driver refused to time launches: {code!r}")
    return values[0] if values else None
