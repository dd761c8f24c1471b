"""Predicts latency and speedup of weight-only quantised products on GPUs and CPUs.

>>> from amssim.simulator import predict_speedup
>>> float(predict_speedup(bits=5.33, gpu="h200", shape=(57344, 8192))) > 2
True
"""

from importlib import import_module

_LAZY = {
    "predict_latency": "predict",
    "predict_speedup": "predict",
    "predict_decode": "decode",
    "bits_for_speedup": "inverse",
    "instruction_budget": "inverse",
    "sweep": "sweeps",
    "batch_crossover": "sweeps",
}

__all__ = [*_LAZY]


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'amssim.simulator' has no attribute {name!r}")
    return getattr(import_module(f"amssim.simulator.{_LAZY[name]}"), name)
