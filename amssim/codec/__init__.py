"""The codec: weights to packed words and back, compiled with Numba."""

from amssim.codec.api import dequantize, pack, quantize, unpack

__all__ = ["dequantize", "pack", "quantize", "unpack"]
