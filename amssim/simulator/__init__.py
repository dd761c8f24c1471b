"""Predicts latency and speedup of weight-only quantised products on GPUs and CPUs.

>>> from amssim.simulator import predict_speedup
>>> float(predict_speedup(bits=5.33, device="h200", shape=(57344, 8192))) > 2
True
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
