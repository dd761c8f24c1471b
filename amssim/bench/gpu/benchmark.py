"""The GPU benchmark: packed products on this GPU against cuBLAS FP16, as a record."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from amssim.bench.gpu.baselines import copy_bytes_per_s, cublas_s
from amssim.bench.gpu.peers import PEER_BATCHES, PEERS, measure_peer
from amssim.bench.machine import describe_gpu
from amssim.progress import silent
from amssim.scheme import scheme

Shapes = Mapping[str, tuple[int, int]]
Record = dict[str, Any]
Say = Callable[[str], None]

#: rows x columns of the layers of Llama-3 and Qwen3, q/k/v and gate/up fused, and a square
SHAPES: Shapes = {
    "Llama-3 8B q/k/v": (6144, 4096),
    "Llama-3 8B o": (4096, 4096),
    "Llama-3 8B gate/up": (28672, 4096),
    "Llama-3 8B down": (4096, 14336),
    "Llama-3 70B q/k/v": (10240, 8192),
    "Llama-3 70B o": (8192, 8192),
    "Llama-3 70B gate/up": (57344, 8192),
    "Llama-3 70B down": (8192, 28672),
    "Qwen3 8B gate/up": (24576, 4096),
    "Qwen3 8B down": (4096, 12288),
    "Qwen3 32B q/k/v": (10240, 5120),
    "Qwen3 32B o": (5120, 8192),
    "Qwen3 32B gate/up": (51200, 5120),
    "Qwen3 32B down": (5120, 25600),
    "square": (16384, 16384),
}
BATCHES = (1, 2, 4, 8, 16, 32, 64)
_SCHEMES = ("fp5.33", "fp4.25")


def benchmark_gpu(
    shapes: Shapes = SHAPES,
    batches: Sequence[int] = BATCHES,
    *,
    runs: int = 1,
    peers: bool = False,
    command: str = "",
    say: Say = silent,
) -> Record:
    """Time packed products of every shape, scheme and batch, beside cuBLAS FP16.

    Args:
        shapes: (rows, columns) by the name of the layer.
        batches: vectors of activations at once.
        runs: measure all so often; the lowest time of each counts.
        peers: whether to time other libraries' products too (`amssim.bench.gpu.peers`), at those
            of their batches that are asked for.
        command: for the record.
        say: called with a line on each time.

    Returns:
        {"command", "machine", "copy_tbps", "host_us", "driver_us", "results", "peers"}; times in
        microseconds, bandwidth in 10^12 bytes per second.

    Raises:
        ResourceError: no PyTorch or no GPU.
        MismatchError: a product differs from float64 by more than float16 explains.
    """
    return lowest([_one_run(shapes, batches, peers, command, say) for _ in range(runs)])


def _one_run(shapes: Shapes, batches: Sequence[int], peers: bool, command: str, say: Say) -> Record:
    results: list[Record] = []
    host: Record = {}
    for name, (rows, columns) in shapes.items():
        baseline_us = {batch: 1e6 * cublas_s(rows, columns, batch) for batch in batches}
        for spec in _SCHEMES:
            times, host = _layer(name, spec, (rows, columns), baseline_us, say)
            results += times
    record = {"command": command, "machine": describe_gpu(), "copy_tbps": copy_bytes_per_s() / 1e12}
    return (
        record
        | host
        | {
            "results": results,
            "peers": _peers(shapes, batches, say) if peers else [],
        }
    )


def _layer(
    name: str, spec: str, shape: tuple[int, int], baseline_us: dict[int, float], say: Say
) -> tuple[list[Record], Record]:
    """Times of a layer in one scheme at every batch, and the host's times for a launch."""
    from amssim.bench.gpu.layer import Layer

    layer = Layer(scheme(spec), *shape)
    common: Record = {"layer": name, "shape": list(shape), "scheme": layer.scheme.name}
    common |= {"bytes": layer.nbytes, "dequantize_us": 1e6 * layer.dequantize_s()}
    results = []
    for batch, cublas_us in baseline_us.items():
        product_s, error = layer.product_s(batch)
        us = 1e6 * product_s
        figures = {"batch": batch, "us": us, "cublas_us": cublas_us, "error": error}
        results.append(common | figures)
        say(f"{name} {spec} batch {batch}: {us:.1f} us, {cublas_us / us:.2f}x")
    host_s, driver_s = layer.host_s()
    return results, {"host_us": 1e6 * host_s, "driver_us": 1e6 * driver_s}


def _peers(shapes: Shapes, batches: Sequence[int], say: Say) -> list[Record]:
    wanted = tuple(batch for batch in batches if batch in PEER_BATCHES)
    return [measure_peer(peer, shapes, wanted, say=say) for peer in PEERS]


def lowest(records: Sequence[Record]) -> Record:
    """Return the first of several records of one machine, with the best figure of each in all.

    What a record says of a failure or lacks stays as it is in the first; an error is the largest.
    """
    first, *others = copy.deepcopy(list(records))
    if others:
        first["note"] = f"each time is the lowest of {len(records)} runs"
    for other in others:
        _lower(first, other, ("host_us", "driver_us"))
        first["copy_tbps"] = max(first["copy_tbps"], other["copy_tbps"])
        _lower_results(first["results"], other["results"])
        theirs = {peer["peer"]: peer["results"] for peer in other["peers"]}
        for peer in first["peers"]:
            _lower_results(peer["results"], theirs.get(peer["peer"], []))
    return first


def _lower_results(ours: list[Record], others: list[Record]) -> None:
    """Take the lower time and the larger error of what was measured again."""
    known = {_product(result): result for result in others}
    for result in ours:
        if again := known.get(_product(result)):
            _lower(result, again, ("us", "cublas_us", "dequantize_us"))
            result["error"] = max(result["error"], again["error"])


def _product(result: Record) -> tuple[object, ...]:
    return result["layer"], result.get("scheme"), result["batch"]


def _lower(mine: Record, theirs: Record, names: tuple[str, ...]) -> None:
    for name in names:
        if name in mine:
            mine[name] = min(mine[name], theirs[name])
