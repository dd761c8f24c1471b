"""The number formats that AMS is compared with, all behind one protocol.

>>> import numpy as np
>>> nf4 = get("nf4", group=64)
>>> restored = nf4.quantize(np.float32([[-1.0, 0.0, 0.08, 1.0]])).dequantize()
>>> print(nf4.bits_per_weight((1, 4096)), restored.round(4))
17/4 [[-1.      0.      0.0796  1.    ]]
"""

from amssim.formats.base import Format, Part, Quantized
from amssim.formats.registry import get, names

__all__ = ["Format", "Part", "Quantized", "get", "names"]
