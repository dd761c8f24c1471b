"""Packed matrices for the tests of the CPU products, made without the codec, and exact oracles."""

from __future__ import annotations

import numpy as np
import pytest

from amssim import reference, scheme
from amssim.cpu.avx2 import missing_features, vector_form
from amssim.tensor.packed import PackedTensor

PUBLISHED = ("fp5.33", "fp4.25")
WITHOUT_AVX2 = pytest.mark.skipif(bool(missing_features()), reason="this CPU has no AVX2")
PATHS = [pytest.param("avx2", marks=WITHOUT_AVX2), "plain"]
LARGEST_STEP = {"int8": 127, "int16": 255 * 127 + 127}


def random_packed(name, rows, columns, *, scale_block=None, seed=0) -> PackedTensor:
    """A matrix whose codes are equally likely, negative zero among them."""
    s, rng = scheme(name), np.random.default_rng(seed)
    codes = rng.integers(0, 2**s.minifloat.bits, (rows, columns), np.uint8)
    if s.k > 1:
        shared = rng.integers(0, 2, (rows, -(-columns // s.k)), np.uint8)
        codes = (codes & 0xFE) | np.repeat(shared, s.k, axis=1)[:, :columns]
    return packed_codes(codes, s, scale_block=scale_block, seed=seed)


def packed_codes(codes, s, *, scale_block=None, seed=0) -> PackedTensor:
    """A matrix with these codes and random scales."""
    rows, columns = codes.shape
    blocks = -(-columns // scale_block) if scale_block else 1
    scales = np.random.default_rng(seed).uniform(0.01, 0.02, (rows, blocks)).astype(np.float32)
    return PackedTensor(s, (rows, columns), reference.pack(codes, s), scales, scale_block)


def uses_avx2(packed: PackedTensor) -> bool:
    """Whether products with this matrix run the AVX2 kernels here and now."""
    return vector_form(packed.scheme, packed.scale_block) is not None


def values(packed: PackedTensor) -> np.ndarray:
    """float64[rows, columns] without scales."""
    codes = reference.unpack(packed.words, packed.scheme, packed.shape[1])
    return packed.scheme.minifloat.decode(codes).astype(np.float64)


def exact(packed: PackedTensor, x) -> np.ndarray:
    """float64 product with float32 x[columns] or x[batch, columns]."""
    x = np.asarray(x, np.float32).T
    return reference.gemv(packed.words, packed.scales, packed.scheme, x, packed.scale_block).T


def absolute(packed: PackedTensor, x) -> np.ndarray:
    """float64 sum |w x|."""
    scales = reference.spread(packed.scales, packed.shape[1], packed.scale_block)
    return np.abs(np.asarray(x, np.float64)) @ np.abs(values(packed) * scales).T


def float_bound(packed: PackedTensor, x) -> np.ndarray:
    """The error that the documentation of `gemv` allows with float32 activations."""
    columns, blocks = packed.shape[1], packed.scales.shape[1]
    if uses_avx2(packed):
        roundings, smallest = 54 + columns / 1536, 2.0**-135 * columns * packed.scales.max()
    else:
        roundings, smallest = 3 + blocks, 2.0**-148 * blocks
    return roundings * 2.0**-24 * absolute(packed, x) + smallest


def integer_product(packed: PackedTensor, x, activations) -> np.ndarray:
    """The product with integer activations as documented, in int64 and single float32 steps."""
    x = np.atleast_2d(np.asarray(x, np.float32))
    largest = np.float32(LARGEST_STEP[activations])
    smallest = np.finfo(np.float32).smallest_normal
    scale = np.maximum(np.abs(x).max(axis=1, keepdims=True) / largest, smallest)
    steps = np.rint(x / scale).astype(np.int64)
    assert np.abs(steps).max(initial=0) <= largest
    unit = np.float32(packed.scheme.minifloat.min_subnormal)
    weights = (values(packed) / unit).astype(np.int64)
    block = packed.scale_block or packed.shape[1]
    total = np.zeros((x.shape[0], packed.shape[0]), np.float32)
    for b, start in enumerate(range(0, packed.shape[1], block)):
        part = slice(start, start + block)
        sums = (steps[:, part] @ weights[:, part].T).astype(np.float32) * unit
        total += (sums * scale) * packed.scales[:, b]
    return total
