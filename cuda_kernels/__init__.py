"""CUDA kernels on packed AMS weights, written in Python with numba.cuda. docs/KERNELS.md.

``amssim.gpu`` is the public face. The names in ``__init__.pyi`` are for measurements and scripts;
each is loaded when it is first used, and nothing here is imported before that.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
