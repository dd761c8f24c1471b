"""Device time of launches: recorded in a CUDA graph, replayed on a warm GPU. Needs PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amssim.bench.gpu.clock import EventClock
from amssim.bench.timing import Timer, copies_for_cold
from amssim.errors import ResourceError

GPU_COLD_BYTES = 300_000_000  # of copies in rotation: more than 4 times an H200's L2 of 60 MB
WARM_S = 0.06  # of the same work before it is timed: clocks of an idle GPU cost the first 10 %
REPLAYS = 15


def torch_or_error() -> Any:
    """Return PyTorch.

    Raises:
        ResourceError: it is not installed or sees no GPU.
    """
    try:
        import torch
    except ImportError:
        raise ResourceError("the GPU benchmark needs PyTorch: pip install torch") from None
    if not torch.cuda.is_available():
        raise ResourceError("PyTorch sees no GPU: see nvidia-smi")
    return torch


def graph_s(launch: Callable[[int], object], count: int) -> float:
    """Return the seconds of a launch: the median of replays of a graph of ``count``, GPU warm.

    Args:
        launch: called with 0, 1 ... ``count`` - 1, launches on PyTorch's current stream.
        count: launches in the graph.
    """
    torch = torch_or_error()
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        for i in range(2):
            launch(i)
    stream.synchronize()
    with torch.cuda.graph(graph, stream=stream):
        for i in range(count):
            launch(i)
    timer = Timer(EventClock(), repeats=REPLAYS, budget_s=0, warm_s=WARM_S)
    return timer.median_s(graph.replay) / count


def copies_of(nbytes: int) -> int:
    """Return how many copies of a layer never fit the L2 cache together."""
    return copies_for_cold(nbytes, cold_bytes=GPU_COLD_BYTES)
