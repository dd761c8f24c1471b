"""Products on packed weights, on the CPU.

`product` checks and chooses: `avx2` for the published schemes where the CPU can, else `plain`.
Under `avx2` lie `kernels`, `decode` and `columns`, made of the vectors of `simd`, and the word
order of `tiles`. The environment variable AMSSIM_CPU=plain keeps to `plain`.
"""

from amssim.cpu.product import gemv, prepare

__all__ = ["gemv", "prepare"]
