"""CUDA kernels on packed AMS weights, written in Python with numba.cuda. docs/KERNELS.md.

``amssim.gpu`` is the public face. Nothing here is imported before it is used.
"""
