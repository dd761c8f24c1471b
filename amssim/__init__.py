"""AMS-Quant: LLM weights as small floats whose neighbours share their mantissa's last bit.

>>> import numpy as np
>>> packed = quantize(np.float32([[0.1, -0.2, 7.5]]), "fp5.33")
>>> packed.bits_per_weight
Fraction(16, 3)
>>> packed.dequantize().tolist()
[[0.125, -0.125, 7.5]]

Public names load their modules when they are first used, so that importing the package needs
neither Numba nor Matplotlib nor numpy. The number formats are the exception: they are light, and
``amssim.scheme`` must always be the function, never the module of that name.
"""

from importlib import import_module

from amssim.errors import (
    AmsError,
    FormatError,
    InputError,
    MismatchError,
    OutputError,
    ResourceError,
    SchemeError,
    UnsafePathError,
    UnsupportedError,
)
from amssim.minifloat import Minifloat
from amssim.scheme import Scheme, scheme, schemes

__version__ = "0.1.0"

_LAZY = {
    "PackedTensor": "tensor.packed",
    "quantize": "tensor.quantize",
    "dequantize": "tensor.quantize",
    "pack": "tensor.quantize",
    "unpack": "tensor.quantize",
    "gemv": "tensor.product",
    "Metrics": "metrics",
    "quantize_checkpoint": "checkpoint",
    "dequantize_checkpoint": "checkpoint",
    "inspect_checkpoint": "checkpoint",
    "verify_checkpoint": "checkpoint",
    "open_checkpoint": "checkpoint",
    "predict_speedup": "simulator",
    "predict_latency": "simulator",
    "predict_decode": "simulator",
    "sweep": "simulator",
    "bits_for_speedup": "simulator",
    "instruction_budget": "simulator",
}

# Parts that are used by their own name, such as amssim.gpu.gemv.
_MODULES = ("formats", "gpu", "hardware", "quality", "reference", "simulator", "testing")

__all__ = [
    "AmsError",
    "FormatError",
    "InputError",
    "Minifloat",
    "MismatchError",
    "OutputError",
    "ResourceError",
    "Scheme",
    "SchemeError",
    "UnsafePathError",
    "UnsupportedError",
    "__version__",
    "scheme",
    "schemes",
    *_LAZY,
]


def __getattr__(name: str):
    if name in _MODULES:
        return import_module(f"amssim.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'amssim' has no attribute {name!r}")
    value = getattr(import_module(f"amssim.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
