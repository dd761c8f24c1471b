"""What the CPU benchmark times, for one shape and one number of threads in this process."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from amssim.bench import products
from amssim.bench.cpu import ACTIVATIONS, BATCH, SCHEMES
from amssim.bench.timing import best_s
from amssim.tensor.packed import PackedTensor
from amssim.tensor.quantize import dequantize, pack, quantize, unpack

_ROWS_AT_ONCE = 256


def measure(threads: int, rows: int, columns: int) -> list[dict]:
    """Time every item; weights are normal with standard deviation 0.02, from a fixed seed."""
    weights = _weights(rows, columns)
    x = np.random.default_rng(1).standard_normal(columns).astype(np.float32)
    blas_s = products.blas_s(weights, x)
    found = [_item("blas sgemv", None, weights.shape, threads, blas_s)]
    for name in SCHEMES:
        packed = quantize(weights, name, threads=threads)
        found += _gemv_items(packed, x, blas_s, threads)
        if threads == 1:
            found += _codec_items(weights, packed)
    return found


def _weights(rows: int, columns: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    weights = np.empty((rows, columns), np.float32)
    for start in range(0, rows, _ROWS_AT_ONCE):
        part = weights[start : start + _ROWS_AT_ONCE]
        part[:] = rng.standard_normal(part.shape, dtype=np.float32) * np.float32(0.02)
    return weights


def _gemv_items(packed: PackedTensor, x, blas_s: float, threads: int) -> list[dict]:
    found = []
    about = (packed.scheme.name, packed.shape, threads)
    batch = np.stack([x * (1 + i) for i in range(BATCH)], axis=1)
    for activations in ACTIVATIONS:
        time_s = products.packed_s(packed, x, activations, threads=threads)
        found.append(_item(f"gemv {activations}", *about, time_s, "blas sgemv", blas_s))
        batch_s = products.packed_s(packed, batch, activations, threads=threads)
        one = _item(f"gemm {activations} batch {BATCH}", *about, batch_s / BATCH)
        found.append(one | {"baseline": "batch 1 times 8", "ratio": BATCH * time_s / batch_s})
    return found


def _codec_items(weights: np.ndarray, packed: PackedTensor) -> list[dict]:
    about = (packed.scheme.name, weights.shape, 1)
    codes, filled = packed.codes(), np.empty_like(weights)
    cast_s = best_s(lambda: weights.astype(ml_dtypes.float6_e2m3fn), repeats=3)
    fill_s = best_s(lambda: filled.fill(1))
    scheme, columns = packed.scheme, packed.shape[1]
    quantize_s = best_s(lambda: quantize(weights, scheme, threads=1))
    words, unpacked = np.empty_like(packed.words), np.empty_like(codes)
    pack_s = best_s(lambda: pack(codes, scheme, out=words, threads=1))
    unpack_s = best_s(lambda: unpack(packed.words, scheme, columns, out=unpacked, threads=1))
    dequantize_s = best_s(lambda: dequantize(packed, out=filled, threads=1))
    return [
        _item("quantize", *about, quantize_s, "ml_dtypes cast to e2m3", cast_s),
        _item("pack", *about, pack_s),
        _item("unpack", *about, unpack_s),
        _item("dequantize", *about, dequantize_s, "filling the array", fill_s),
    ]


def _item(name, scheme, shape, threads, time_s, baseline=None, baseline_s=None) -> dict:
    rate = shape[0] * shape[1] / time_s / 1e9
    item = {"item": name, "scheme": scheme, "shape": list(shape), "threads": threads}
    item |= {"time_s": time_s, "gweights_per_s": rate}
    if baseline:
        item |= {"baseline": baseline, "ratio": baseline_s / time_s}
    return item
