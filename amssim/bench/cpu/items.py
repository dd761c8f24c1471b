"""What the CPU benchmark times, for one shape and one number of threads, in this process.

As a program, with threads, rows and columns as its arguments, it writes the results as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import ml_dtypes
import numpy as np

from amssim.bench.cpu.products import blas_s, packed_s
from amssim.bench.operands import normal_weights
from amssim.bench.timing import Timer
from amssim.cpu.operands import ACTIVATIONS
from amssim.tensor.packed import PackedTensor
from amssim.tensor.quantize import dequantize, pack, quantize, unpack

_SCHEMES = ("fp5.33-e2m3", "fp4.25-e2m2")
BATCH = 8
_TIMER = Timer()
_CAST_TIMER = Timer(repeats=3)  # a second each


def measure_items(threads: int, rows: int, columns: int) -> list[dict[str, Any]]:
    """Time every item on normal weights; return the results of `benchmark_cpu`."""
    weights = normal_weights(rows, columns)
    x = np.random.default_rng(1).standard_normal(columns).astype(np.float32)
    dense_s = blas_s(weights, x)
    results = [_item("blas sgemv", None, weights.shape, threads, dense_s)]
    for name in _SCHEMES:
        packed = quantize(weights, name, threads=threads)
        results += _product_items(packed, x, dense_s, threads)
        if threads == 1:
            results += _codec_items(weights, packed)
    return results


def _product_items(
    packed: PackedTensor, x: np.ndarray, dense_s: float, threads: int
) -> list[dict[str, Any]]:
    results = []
    about = (packed.scheme.name, packed.shape, threads)
    batch = np.stack([x * (1 + i) for i in range(BATCH)])
    for activations in ACTIVATIONS:
        vector_s = packed_s(packed, x, activations=activations, threads=threads)
        results.append(_item(f"gemv {activations}", *about, vector_s, "blas sgemv", dense_s))
        batch_s = packed_s(packed, batch, activations=activations, threads=threads)
        item = _item(f"gemm {activations} batch {BATCH}", *about, batch_s / BATCH)
        ratio = BATCH * vector_s / batch_s
        results.append(item | {"baseline": f"batch 1 times {BATCH}", "ratio": ratio})
    return results


def _codec_items(weights: np.ndarray, packed: PackedTensor) -> list[dict[str, Any]]:
    scheme, columns = packed.scheme, packed.shape[1]
    about = (scheme.name, packed.shape, 1)
    codes, restored = packed.codes(), np.empty_like(weights)
    words, unpacked = np.empty_like(packed.words), np.empty_like(codes)
    cast_s = _CAST_TIMER.least_s(lambda: weights.astype(ml_dtypes.float6_e2m3fn))
    fill_s = _TIMER.least_s(lambda: restored.fill(1))
    quantize_s = _TIMER.least_s(lambda: quantize(weights, scheme, threads=1))
    pack_s = _TIMER.least_s(lambda: pack(codes, scheme, out=words, threads=1))
    unpack_s = _TIMER.least_s(
        lambda: unpack(packed.words, scheme, columns, out=unpacked, threads=1)
    )
    dequantize_s = _TIMER.least_s(lambda: dequantize(packed, out=restored, threads=1))
    return [
        _item("quantize", *about, quantize_s, "ml_dtypes cast to e2m3", cast_s),
        _item("pack", *about, pack_s),
        _item("unpack", *about, unpack_s),
        _item("dequantize", *about, dequantize_s, "filling the array", fill_s),
    ]


def _item(
    name: str,
    scheme: str | None,
    shape: tuple[int, ...],
    threads: int,
    time_s: float,
    baseline: str | None = None,
    baseline_s: float = 0.0,
) -> dict[str, Any]:
    item: dict[str, Any] = {"item": name, "scheme": scheme, "shape": list(shape)}
    rate = shape[0] * shape[1] / time_s / 1e9
    item |= {"threads": threads, "time_s": time_s, "gweights_per_s": rate}
    if baseline:
        item |= {"baseline": baseline, "ratio": baseline_s / time_s}
    return item


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_items(*map(int, sys.argv[1:]))))
