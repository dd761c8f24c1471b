"""Which of our CUDA kernels serves a product, in how many blocks, each with how much work.

Plain arithmetic on whole numbers that Python and Numba both execute: `cuda_kernels` launches what
it says, and `amssim.simulator` predicts it, a million times if need be. `grids` says what a launch
looks like for given choices, and whether it fits; `plan` makes the choices. Nothing here checks
its input.
"""
