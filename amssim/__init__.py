"""AMS-Quant: LLM weights as small floats whose neighbours share their mantissa's last bit.

>>> import amssim, numpy as np
>>> packed = amssim.quantize(np.float32([[0.1, -0.2, 7.5]]), "fp5.33")
>>> packed.bits_per_weight
Fraction(16, 3)
>>> packed.dequantize().tolist()
[[0.125, -0.125, 7.5]]

Public names stand in ``__init__.pyi`` of this package and of its parts. Each loads its module when
it is first used, so that ``import amssim`` needs neither numpy nor Numba nor Matplotlib.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
