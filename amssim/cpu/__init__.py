"""Products on packed weights, on the CPU.

`avx2` serves the published schemes where the CPU can, else `plain`; which, `amssim.tensor` says.
Under `avx2` lie the `kernels`. What they know of a scheme is in `layouts`, with one file for each,
and the word order of FP5.33 in `tiles`; they are made of the vectors of `simd` and `columns`.
The environment variable AMSSIM_CPU=plain keeps to `plain`.
"""
