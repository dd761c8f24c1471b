"""Putting `AmsLinear` in the place of a model's linear layers."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import torch
from torch import nn

from amssim.checkpoint.jobs.rules import Decision, decide, parse_rule
from amssim.checkpoint.safetensors.header import TensorInfo
from amssim.errors import InputError
from amssim.scheme import Scheme
from amssim.scheme import scheme as find_scheme
from amssim.tensor.quantize import quantize
from amssim.torch.arrays import as_numpy
from amssim.torch.linear import AmsLinear

_DTYPES = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}


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
    """Quantise the linear layers of ``model`` in place and return it.

    Which are, and what ``rules`` mean, is as for `amssim.quantize_checkpoint`: embeddings and the
    output head stay unless a rule says otherwise. One layer at a time is held twice.

    Args:
        model: any module; weights in float16, bfloat16 or float32.
        scheme, search, scale, scale_block, threads: as for `amssim.quantize`.
        rules: texts ``REGEX=SCHEME`` or ``REGEX=keep`` for names of weights.

    Raises:
        InputError: no layer would be quantised, a rule without effect, NaN or Inf in a weight.
        SchemeError: an unknown scheme, rule or option.

    >>> model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2, bias=False))
    >>> quantize_(model, "fp4.25")[2]
    AmsLinear(4, 2, fp4.25-e2m2, bias=False)
    """
    layers = linear_layers(model)
    decisions = decide_layers(layers, find_scheme(scheme), rules)
    for name, layer in layers.items():
        chosen = decisions[f"{name}.weight"].scheme
        if chosen is None:
            continue
        packed = quantize(
            as_numpy(layer.weight, f"{name}.weight"),
            chosen,
            search=search,
            scale=scale,
            scale_block=scale_block,
            threads=threads,
            name=f"{name}.weight",
        )
        made = AmsLinear.of(packed, layer.bias).to(layer.weight.device)
        made.train(layer.training)
        model.set_submodule(name, made)
    _mark(model)
    return model


def _mark(model: nn.Module) -> None:
    """Let `save_pretrained` of a model of transformers say in config.json what is packed."""
    transformers = sys.modules.get("transformers")
    if transformers and isinstance(model, transformers.PreTrainedModel):
        from amssim.torch.config import stored_config

        model.config.quantization_config = stored_config(model)
        model.is_quantized = True


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Return the plain linear layers of ``model`` by name."""
    return {name: m for name, m in model.named_modules() if type(m) is nn.Linear and name}


def decide_layers(
    layers: dict[str, nn.Linear], scheme: Scheme, rules: Iterable[str]
) -> dict[str, Decision]:
    """Return what is decided for the weight of each layer, by the rules for checkpoints.

    Raises:
        InputError: nothing would be quantised, or a rule has no effect.
    """
    infos = [_info(f"{name}.weight", layer.weight) for name, layer in layers.items()]
    decisions = decide(infos, [parse_rule(text) for text in rules], scheme)
    if not any(decision.scheme for decision in decisions.values()):
        reasons = sorted({d.reason for d in decisions.values()}) or ["it has no linear layers"]
        raise InputError(f"nothing of the model would be quantised ({'; '.join(reasons)})")
    return decisions


def _info(name: str, weight: torch.Tensor) -> TensorInfo:
    dtype = _DTYPES.get(weight.dtype, str(weight.dtype))
    return TensorInfo(name, dtype, tuple(weight.shape), 0, weight.numel() * weight.element_size())
