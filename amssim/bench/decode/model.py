"""A model of a given shape with random weights, on a device, in a variant."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from amssim.bench.decode.variant import DecodeVariant
from amssim.scheme import Scheme
from amssim.simulator.models import Model
from amssim.tensor.packed import PackedTensor
from amssim.tensor.quantize import quantize
from amssim.torch import AmsLinear, fuse_
from amssim.torch.attention import ATTEND, GROUPED
from amssim.torch.fuse import GROUPS
from amssim.torch.shared import SharedProduct, Slice

#: So many rows of a matrix are quantised; the others are the same again.
_ROWS = 4096


def config_of(model: Model, positions: int) -> LlamaConfig:
    """Return the configuration of a Llama with the sizes of ``model``."""
    return LlamaConfig(
        hidden_size=model.hidden,
        intermediate_size=model.intermediate,
        num_hidden_layers=model.layers,
        num_attention_heads=model.heads,
        num_key_value_heads=model.kv_heads,
        head_dim=model.head_size,
        vocab_size=model.vocabulary,
        max_position_embeddings=positions,
        tie_word_embeddings=False,
    )


class Factory:
    """Makes variants of one model; packed matrices of a shape are quantised once.

    All layers hold copies at places of their own, so that weights are cold as in a real model.
    """

    def __init__(self, model: Model, device: torch.device, positions: int):
        self._config, self._device = config_of(model, positions), device
        self._packed: dict[tuple[Scheme, tuple[int, int]], AmsLinear] = {}

    def make(self, variant: DecodeVariant) -> Any:
        """Return a model in evaluation mode without gradients."""
        dtype = getattr(torch, variant.dtype)
        config = copy.deepcopy(self._config)
        config._attn_implementation = _attention(variant)
        torch.manual_seed(0)
        with _default_dtype(dtype), torch.device(self._device):
            model = LlamaForCausalLM(config).eval()
        model.requires_grad_(False)
        if variant.scheme:
            self._pack_(model, variant.scheme, variant.head)
            fuse_(model) if variant.fused else None
        elif variant.fused:
            fuse_floats_(model)
        return model

    def forget(self) -> None:
        """Let go what was quantised."""
        self._packed.clear()

    def _pack_(self, model: Any, scheme: Scheme, head: bool) -> None:
        for name, layer in list(model.named_modules()):
            if type(layer) is nn.Linear and (head or name != "lm_head"):
                shape = (layer.out_features, layer.in_features)
                first = self._packed.get((scheme, shape))
                if first is None:
                    first = AmsLinear.of(_packed(layer.weight, scheme)).to(self._device)
                    self._packed[scheme, shape] = first
                made = copy.deepcopy(first)
                made._like = layer.weight.new_empty(0)
                model.set_submodule(name, made)


def _packed(weight: torch.Tensor, scheme: Scheme) -> PackedTensor:
    some = quantize(weight[:_ROWS].float().cpu().numpy(), scheme)
    rows = torch.arange(len(weight)).numpy() % _ROWS
    return PackedTensor(scheme, tuple(weight.shape), some.words[rows], some.scales[rows])


def _attention(variant: DecodeVariant) -> str:
    if variant.attend:
        return ATTEND
    return "sdpa" if variant.sdpa else GROUPED


class FusedFloats(SharedProduct, nn.Linear):  # type: ignore[misc]
    """Float layers of one input as one matrix, what `fuse_` is for packed ones."""

    @classmethod
    def join(cls, layers: list[nn.Linear]) -> FusedFloats:
        """Return one matrix of layers without biases."""
        sizes = tuple(layer.out_features for layer in layers)
        made = cls(layers[0].in_features, sum(sizes), bias=False, device="meta")
        weight = torch.cat([layer.weight.data for layer in layers])
        made.weight = nn.Parameter(weight, requires_grad=False)
        made.share(sizes)
        return made


def fuse_floats_(model: nn.Module) -> None:
    """Make q, k, v and gate, up one float matrix each."""
    for module in list(model.modules()):
        for name, parts in GROUPS.items():
            layers = [getattr(module, part, None) for part in parts]
            if all(type(layer) is nn.Linear for layer in layers):
                whole = FusedFloats.join(layers)
                module.add_module(name, whole)
                for index, part in enumerate(parts):
                    setattr(module, part, Slice(whole, index))


def collect(device: torch.device) -> None:
    """Let go what nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
