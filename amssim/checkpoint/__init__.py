"""Safetensors checkpoints, one file or a directory of shards: quantise, restore, inspect, verify.

A quantised checkpoint keeps the names of shards and of all other files. A tensor ``N`` that was
quantised is stored as ``N_packed`` (uint16[rows, half-words], docs/FORMAT.md section 4),
``N_scale`` (float32[rows, scale blocks]) and ``N_shape`` (int64[2 or 3], the shape before packing;
the matrices of a 3-D tensor are stacked). So ``up_proj.weight`` becomes ``up_proj.weight_packed``,
the name that compressed-tensors uses. The metadata key ``amssim`` of each file says how to decode
it (`amssim.checkpoint.packed.manifest`), and config.json gains a ``quantization_config``. A
directory is one set, which ``amssim.seal.json`` binds together (docs/FORMAT.md section 6).

Three storeys: ``safetensors`` (files and directories of them, knows nothing of quantisation),
``packed`` (what a packed tensor is in them), ``jobs`` (what is done to whole checkpoints).

Names load their modules when they are first used: looking at headers needs no Numba.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
