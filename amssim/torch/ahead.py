"""Compiling what products of a model will launch, before a CUDA graph is captured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from amssim.torch.experts import AmsExperts
from amssim.torch.linear import AmsLinear
from amssim.torch.storage import gpu_layout


def prepare(
    model: nn.Module,
    batches: Iterable[int] = (1,),
    dtypes: Iterable[torch.dtype] = (torch.float16, torch.bfloat16),
) -> nn.Module:
    """Load every kernel that the packed layers on GPUs need for such products; return ``model``.

    A kernel that is needed first while a graph is captured cannot be loaded and raises. One that
    no process has compiled yet takes seconds, one on disk milliseconds.

    Args:
        model: with packed layers, on the GPU.
        batches: rows of x: sequences for a decoding step, tokens for a prompt.
        dtypes: of x.

    Raises:
        ResourceError: a graph is being captured, or kernels cannot run here.
    """
    layouts: dict[Any, None] = {}  # equal ones count once, in order
    for layer in model.modules():
        if isinstance(layer, AmsLinear) and layer.weight_scale.is_cuda:
            device = layer.weight_scale.device.index
            layouts[gpu_layout(device, layer.form, layer.out_features)] = None
        if isinstance(layer, AmsExperts):
            for name, form in layer.forms.items():
                scales = layer.weights(name).scales
                if scales.is_cuda:
                    layouts[gpu_layout(scales.device.index, form.matrix, form.rows)] = None
    if layouts:
        from cuda_kernels import prepare as load

        load(layouts, batches, [str(dtype).removeprefix("torch.") for dtype in dtypes])
    return model
