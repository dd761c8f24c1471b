"""Which of our CUDA kernels serves a product, in how many blocks, each with how much work.

Plain arithmetic on whole numbers that Python and Numba both execute: `cuda_kernels` launches what
it says, and `amssim.simulator` predicts it, a million times if need be. `geometry` has the sizes
that all kernels share; `gemv`, `stream`, `gemm` and `warpgroup` say what a launch of each looks
like for given choices, whether it fits, what it costs and when it pays; `choose` decides. Nothing
here checks its input.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
