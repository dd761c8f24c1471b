"""What one more kernel costs on a GPU, launched one by one and from a graph: driver calls alone."""

from __future__ import annotations

from typing import Any

from amssim.bench.gpu.clock import EventClock, driver_value
from amssim.bench.timing import Call, Timer

#: A kernel that does nothing; any GPU since 2014 takes it.
_EMPTY = b".version 6.0\n.target sm_50\n.address_size 64\n.visible .entry empty()\n{\n\tret;\n}\n\0"
_NODES = (100, 500)
_REPEATS = 7


def launch_costs_s() -> tuple[float, float]:
    """Return seconds of one more launch on the current device: (in a graph, one by one).

    Raises:
        ResourceError: a call of the driver failed.
    """
    from cuda.bindings import driver

    stream = driver_value(driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING))
    module = driver_value(driver.cuModuleLoadData(_EMPTY))
    empty = driver_value(driver.cuModuleGetFunction(module, b"empty"))
    timer = Timer(EventClock(stream), repeats=_REPEATS, budget_s=0)

    def launch(count: int) -> None:
        for _ in range(count):
            driver_value(driver.cuLaunchKernel(empty, 1, 1, 1, 32, 1, 1, 0, stream, 0, 0))

    def launches(count: int) -> Call:
        return lambda: launch(count)

    def replay(count: int) -> Call:
        driver_value(driver.cuStreamBeginCapture(stream, _relaxed(driver)))
        launch(count)
        graph = driver_value(driver.cuStreamEndCapture(stream))
        ready = driver_value(driver.cuGraphInstantiate(graph, 0))
        return lambda: driver_value(driver.cuGraphLaunch(ready, stream))

    in_graph = one_more_s({n: timer.least_s(replay(n)) for n in _NODES})
    alone = one_more_s({n: timer.least_s(launches(n)) for n in _NODES})
    return in_graph, alone


def one_more_s(times_s: dict[int, float]) -> float:
    """Return seconds of one more launch, from the times of few and of many.

    >>> one_more_s({100: 5e-4, 500: 13e-4})
    2e-06
    """
    (few, short_s), (many, long_s) = times_s.items()
    return (long_s - short_s) / (many - few)


def _relaxed(driver: Any) -> Any:
    return driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
