"""Packed layers of the same input as one matrix, whose result is sliced."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from amssim.torch.linear import AmsLinear
from amssim.torch.shared import SharedProduct, Slice
from amssim.torch.storage import Stored

#: name of the whole in a module -> the layers of one input in its place, as Llama names them
GROUPS = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
}


def fuse_(model: nn.Module) -> nn.Module:
    """Make q, k, v and gate, up of each layer one packed matrix each, in place; return ``model``.

    Small products take longer than their bytes: fewer, larger ones are faster. Every row is
    multiplied as before, bit for bit on the CPU. ``state_dict``, ``save_pretrained`` and loading
    keep the names and bytes of the parts. Parts that differ in scheme, scale block, columns,
    bias or device stay apart, as do models that name their layers otherwise.

    Args:
        model: with packed layers; Llama, Mistral, Qwen2, Qwen3 and those built like them.

    >>> mlp = nn.ModuleDict({name: nn.Linear(6, 4) for name in ("gate_proj", "up_proj")})
    >>> from amssim.torch import quantize_
    >>> fuse_(quantize_(mlp))["gate_up_proj"]
    FusedLinear(6, 8, fp5.33-e2m3, bias=True)
    """
    for module in list(model.modules()):
        for name, parts in GROUPS.items():
            layers: list[Any] = [getattr(module, part, None) for part in parts]
            if not hasattr(module, name) and _are_alike(layers):
                whole = FusedLinear.join(layers)
                module.add_module(name, whole)
                for index, part in enumerate(parts):
                    setattr(module, part, FusedPart(whole, index))
    return model


def _are_alike(layers: list[Any]) -> bool:
    if not all(type(layer) is AmsLinear for layer in layers):
        return False
    return len({_kind(layer) for layer in layers}) == 1


def _kind(layer: AmsLinear) -> tuple[Any, ...]:
    bias, place = layer.bias, layer.weight_scale.device
    hooked = bool(layer._forward_hooks or layer._forward_pre_hooks)
    form = (layer.form, layer.weight.dtype, place, layer.training, hooked)
    return (*form, None if bias is None else bias.dtype)


class FusedLinear(SharedProduct, AmsLinear):
    """Packed layers of one input, their rows one below another; made by `fuse_`.

    It has no state of its own: that is read and loaded as that of its parts.
    """

    @classmethod
    def join(cls, layers: list[AmsLinear]) -> FusedLinear:
        """Return one matrix of layers that agree in all but their rows."""
        first, biases = layers[0], [layer.bias for layer in layers if layer.bias is not None]
        made = cls(
            first.in_features,
            sum(layer.out_features for layer in layers),
            scheme=first.scheme,
            scale_block=first.scale_block,
            device="meta",
            dtype=first.weight.dtype,
        )
        made.share(tuple(layer.out_features for layer in layers))
        made._like = first._like
        made.weight_shape = torch.tensor(
            [made.out_features, made.in_features], device=first.weight_scale.device
        )
        parts = [layer._stored() for layer in layers]
        words = torch.cat([part.words.detach().view(torch.int16) for part in parts])
        made.put_(Stored(words.view(torch.uint16), torch.cat([p.scales.detach() for p in parts])))
        if biases:
            made._put("bias", torch.cat([bias.detach() for bias in biases]))
        made.train(first.training)
        made.arrange_()
        return made

    def part(self, index: int) -> AmsLinear:
        """Return a slice as a layer of its own, in the stored order."""
        rows = slice(self.start(index), self.ends[index])
        made = AmsLinear(
            self.in_features,
            rows.stop - rows.start,
            scheme=self.scheme,
            scale_block=self.scale_block,
            device="meta",
            dtype=self.weight.dtype,
        )
        made._like = self._like
        made.weight_shape = torch.tensor(
            [made.out_features, made.in_features], device=self.weight_scale.device
        )
        words, scales = self._stored()
        own = words.detach().view(torch.int16)[rows].clone().view(torch.uint16)
        made.put_(Stored(own, scales.detach()[rows].clone()))
        if self.bias is not None:
            made._put("bias", self.bias.detach()[rows].clone())
        return made

    def put_part_(self, index: int, layer: AmsLinear) -> None:
        """Take the rows of a slice from a layer of the same form."""
        rows = slice(self.start(index), self.ends[index])
        own = layer._stored()
        self._store_()
        words: Any = self.weight_packed
        with torch.no_grad():
            words.view(torch.int16)[rows] = own.words.view(torch.int16).to(words.device)
            self.weight_scale[rows] = own.scales.to(words.device)
            if self.bias is not None and layer.bias is not None:
                self.bias[rows] = layer.bias.to(self.bias)
        self.arrange_()

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Nothing: the parts show it."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Nothing: the parts load it."""

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_kept": None}


class FusedPart(Slice):
    """A packed layer whose rows are in a `FusedLinear`."""

    whole: FusedLinear

    @property
    def scheme(self) -> str:
        """The number format."""
        return self.whole.scheme

    @property
    def scale_block(self) -> int | None:
        """Columns per scale, None for whole rows."""
        return self.whole.scale_block

    @property
    def bias(self) -> torch.Tensor | None:
        """Its part of the bias."""
        bias = self.whole.bias
        start = self.whole.start(self.index)
        return None if bias is None else bias[start : self.whole.ends[self.index]]

    def packed(self) -> Any:
        """Return the weights as a `PackedTensor` of its own memory."""
        return self.whole.part(self.index).packed()

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self.whole.part(self.index)._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        layer = self.whole.part(self.index)
        layer._load_from_state_dict(state_dict, prefix, *args)
        self.whole.put_part_(self.index, layer)
