"""Products on packed weights, on the CPU: arrays in, arrays out.

`avx2` serves the published schemes where the CPU can, `plain` everything else, everywhere; which of
them, `amssim.tensor.product` asks of `avx2.vector_form`. Under `avx2` lie the `kernels`, made of
the vectors of `simd` and `sums`. What the kernels know of a scheme stands in `fp533` and
`fp425`, and what they read of x in `operands`.
"""
