"""The main job on real weights: quantise, pack, write, read back, verify, measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from amssim.bench.cpu.products import blas_s, packed_s
from amssim.bench.machine import describe_machine
from amssim.bench.timing import Timer
from amssim.checkpoint import open_checkpoint, quantize_checkpoint, verify_checkpoint
from amssim.errors import MismatchError
from amssim.metrics import Metrics
from amssim.progress import silent
from amssim.tensor.packed import PackedTensor
from amssim.tensor.quantize import quantize

WEIGHTS = Path(__file__).parents[1] / "data" / "demo-weights.safetensors"
_SCHEMES = ("fp5.33-e2m3", "fp4.25-e2m2")
_TIMER = Timer(repeats=5)
#: Speed is measured on the largest matrix repeated to at least this many rows and columns,
#: the size of a layer of an 8 B-parameter model; the shipped matrices themselves fit the caches.
_LAYER = 4096


def run_demo(output: Path, *, progress: Callable[[str], None] = silent) -> dict[str, Any]:
    """Do the job for FP5.33-e2m3 and FP4.25-e2m2, leaving the packed files in ``output``.

    Returns {"machine", "source", "layer", "schemes": {name: figures}}; a scheme's figures hold
    per-tensor and total metrics, bytes, effective bits, and rates. ``progress`` is called with the
    name of the scheme that is next.

    Raises:
        OutputError: a packed file exists in ``output`` already.
        MismatchError: what was read back is not what was written.
    """
    originals = arrays_of(WEIGHTS)
    layer = _layer_sized(max(originals.values(), key=lambda weights: weights.size))
    x = np.random.default_rng(0).standard_normal((layer.shape[1],), dtype=np.float32)
    dense_s = blas_s(layer, x, timer=_TIMER)
    schemes = {}
    for name in _SCHEMES:
        progress(name)
        figures = _files_and_errors(name, originals, output)
        schemes[name] = figures | _speed(name, layer, x, dense_s)
    size = {"nbytes": sum(w.nbytes for w in originals.values()), "tensors": len(originals)}
    about = {"machine": describe_machine(), "source": size, "layer": list(layer.shape)}
    return about | {"schemes": schemes}


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a checkpoint that are not packed."""
    return {n: t for n, t in open_checkpoint(path).items() if isinstance(t, np.ndarray)}


def packed_of(path: Path) -> dict[str, PackedTensor]:
    """Return the packed tensors of a checkpoint."""
    return {n: t for n, t in open_checkpoint(path).items() if isinstance(t, PackedTensor)}


def _files_and_errors(name: str, originals: dict[str, np.ndarray], output: Path) -> dict[str, Any]:
    path = output / f"{name}.safetensors"
    quantize_checkpoint(WEIGHTS, path, scheme=name)
    verify_checkpoint(path, source=WEIGHTS)
    tensors = packed_of(path)
    for tensor, packed in tensors.items():
        if packed != quantize(originals[tensor], name):
            raise MismatchError(f"{path}: {tensor} read back differs from what was quantised")
    metrics = {t: Metrics.of(originals[t], p.dequantize()) for t, p in tensors.items()}
    nbytes = sum(p.nbytes for p in tensors.values())
    count = sum(w.size for w in originals.values())
    return {
        "path": str(path),
        "nbytes": nbytes,
        "effective_bits": 8 * nbytes / count,
        "total": Metrics.total(metrics).as_dict(),
        "tensors": {t: m.as_dict() for t, m in metrics.items()},
    }


def _layer_sized(weights: np.ndarray) -> np.ndarray:
    rows, columns = (-(-_LAYER // n) for n in weights.shape)
    return np.tile(weights.astype(np.float32), (rows, columns))


def _speed(name: str, layer: np.ndarray, x: np.ndarray, dense_s: float) -> dict[str, float]:
    packed = quantize(layer, name)
    quantize_s = _TIMER.least_s(lambda: quantize(layer, name))
    gemv_s = packed_s(packed, x, timer=_TIMER)
    return {
        "quantize_gweights_per_s": layer.size / quantize_s / 1e9,
        "gemv_s": gemv_s,
        "blas_s": dense_s,
        "gemv_speedup": dense_s / gemv_s,
    }
