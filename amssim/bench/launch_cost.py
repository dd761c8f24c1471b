"""What one more kernel costs on a GPU, launched one by one and from a graph: driver calls alone."""

from __future__ import annotations

from collections.abc import Callable

from amssim.errors import ResourceError

#: A kernel that does nothing; any GPU since 2014 takes it.
_EMPTY = b".version 6.0\n.target sm_50\n.address_size 64\n.visible .entry empty()\n{\n\tret;\n}\n\0"
_NODES = (100, 500)
_REPEATS = 7


def launch_seconds() -> tuple[float, float]:
    """Return seconds of one more launch on the current device: (in a graph, one by one).

    Raises:
        ResourceError: a call of the driver failed.
    """
    from cuda.bindings import driver

    stream = _checked(driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING))
    module = _checked(driver.cuModuleLoadData(_EMPTY))
    empty = _checked(driver.cuModuleGetFunction(module, b"empty"))

    def launch(count: int) -> None:
        for _ in range(count):
            _checked(driver.cuLaunchKernel(empty, 1, 1, 1, 32, 1, 1, 0, stream, 0, 0))

    def replay(count: int) -> Callable[[], object]:
        _checked(driver.cuStreamBeginCapture(stream, _relaxed(driver)))
        launch(count)
        graph = _checked(driver.cuStreamEndCapture(stream))
        ready = _checked(driver.cuGraphInstantiate(graph, 0))
        return lambda: _checked(driver.cuGraphLaunch(ready, stream))

    in_graph = _slope({n: _seconds(driver, stream, replay(n)) for n in _NODES})
    alone = _slope({n: _seconds(driver, stream, lambda n=n: launch(n)) for n in _NODES})
    return in_graph, alone


def _relaxed(driver):
    return driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED


def _slope(seconds: dict[int, float]) -> float:
    """Seconds of one more."""
    (few, short), (many, long) = seconds.items()
    return (long - short) / (many - few)


def _seconds(driver, stream, work: Callable[[], object]) -> float:
    """Device time of the fastest of several runs, after one that warms up."""
    start, end = (_checked(driver.cuEventCreate(0)) for _ in range(2))
    work()
    found = []
    for _ in range(_REPEATS):
        _checked(driver.cuEventRecord(start, stream))
        work()
        _checked(driver.cuEventRecord(end, stream))
        _checked(driver.cuEventSynchronize(end))
        found.append(_checked(driver.cuEventElapsedTime(start, end)) * 1e-3)
    return min(found)


def _checked(answer: tuple):
    """Return what a driver call gave."""
    code, *values = answer
    if int(code):
        raise ResourceError(f"the CUDA driver refused to time launches: {code!r}")
    return values[0] if values else None
