"""Putting packed weights in the place of a model's linear layers and experts."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import nn

from amssim.scheme import Scheme
from amssim.scheme import scheme as find_scheme
from amssim.tensor.packed import PackedTensor
from amssim.tensor.quantize import quantize
from amssim.torch.arrays import as_rows
from amssim.torch.choice import decide_weights, is_of_transformers, linear_layers
from amssim.torch.expert_weights import expert_weights, experts_modules
from amssim.torch.experts import AmsExperts
from amssim.torch.linear import AmsLinear


def quantize_(
    model: nn.Module,
    scheme: str | Scheme = "fp5.33",
    *,
    search: str = "adaptive",
    scale: str = "absmax",
    scale_block: int | None = None,
    rules: Iterable[str] = (),
    threads: int | None = None,
) -> nn.Module:
    """Quantise the linear layers and experts of ``model`` in place and return it.

    Which are, and what ``rules`` mean, is as for `amssim.quantize_checkpoint`: embeddings and the
    output head stay unless a rule says otherwise. One layer at a time is held twice.

    Args:
        model: any module; weights in float16, bfloat16 or float32.
        scheme, search, scale, scale_block, threads: as for `amssim.quantize`.
        rules: texts ``REGEX=SCHEME`` or ``REGEX=keep`` for names of weights.

    Raises:
        InputError: no layer would be quantised, a rule without effect, NaN or Inf in a weight.
        UnsupportedError: a rule for experts that take no packed weights; by default they are kept,
            with a warning.
        SchemeError: an unknown scheme, rule or option.

    >>> model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2, bias=False))
    >>> quantize_(model, "fp4.25")[2]
    AmsLinear(4, 2, fp4.25-e2m2, bias=False)
    """
    decisions = decide_weights(model, find_scheme(scheme), rules)
    schemes = {name: found.scheme for name, found in decisions.items() if found.scheme}
    how = partial(quantize, search=search, scale=scale, scale_block=scale_block, threads=threads)

    def packed(name: str, weight: torch.Tensor) -> PackedTensor:
        return how(as_rows(weight, name), schemes[name], name=name)

    for name, layer in linear_layers(model).items():
        if f"{name}.weight" in schemes:
            made = AmsLinear.of(packed(f"{name}.weight", layer.weight), layer.bias)
            model.set_submodule(name, made.to(layer.weight.device).train(layer.training))
    for name, module in experts_modules(model).items():
        weights = {n: w for n, w in expert_weights(module).items() if f"{name}.{n}" in schemes}
        if weights:
            experts = AmsExperts(module)
            for leaf, weight in weights.items():
                experts.put_stored_(leaf, packed(f"{name}.{leaf}", weight), weight.device)
            model.set_submodule(name, experts.arrange_())
    _mark(model)
    return model


def _mark(model: nn.Module) -> None:
    """Let `save_pretrained` of a model of transformers store and state what is packed."""
    if is_of_transformers(model):
        from amssim.torch.config import stored_config
        from amssim.torch.conversions import keep_conversions, state_parts

        keep_conversions(model)
        state_parts(model)
        model.config.quantization_config = stored_config(model)
        model.is_quantized = True
