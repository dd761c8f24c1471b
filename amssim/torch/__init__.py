"""Packed weights in PyTorch models; importing it makes transformers load what amssim wrote.

Needs ``pip install 'amssim[torch]'``, and 'amssim[transformers]' for `from_pretrained`, `AmsConfig`
and `generate`.
"""

from importlib.util import find_spec

if not find_spec("torch"):
    raise ImportError("amssim.torch needs PyTorch: pip install 'amssim[torch]'")

from amssim.torch.ahead import prepare
from amssim.torch.experts import AmsExperts
from amssim.torch.fuse import fuse_
from amssim.torch.linear import AmsLinear
from amssim.torch.replace import quantize_

__all__ = ["AmsExperts", "AmsLinear", "fuse_", "prepare", "quantize_"]

if find_spec("transformers"):
    from amssim.torch.config import AmsConfig
    from amssim.torch.generation import Generation, Sampling, generate
    from amssim.torch.quantizer import AmsHfQuantizer

    __all__ += ["AmsConfig", "AmsHfQuantizer", "Generation", "Sampling", "generate"]
