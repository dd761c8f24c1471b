"""The codec on arrays: weights to packed words and back, compiled with Numba.

A chunk of weights passes through `rounding` (weights to drafts and votes), `sharing` (to codes)
and `packing` (to words), and back through `packing` and `decoding`. `rows` takes a matrix through
them, `mse` looks for better scales. One set of kernels serves every scheme; `amssim.tensor`
validates what reaches them.
"""
