"""The number formats that AMS is compared with, and what can be added to AMS, in one protocol.

>>> import numpy as np
>>> nf4 = find_format("nf4", scale_block=64)
>>> restored = nf4.quantize(np.float32([[-1.0, 0.0, 0.08, 1.0]])).dequantize()
>>> print(nf4.bits_per_weight((1, 4096)), restored.round(4))
17/4 [[-1.      0.      0.0796  1.    ]]

Names load their modules when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
