"""What config.json says of a quantised model, as an object of transformers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn
from transformers.utils.quantization_config import QuantizationConfigMixin

from amssim.checkpoint.packed.config_keys import METHOD, quantization, with_quantization
from amssim.checkpoint.packed.stored import SCALES, LogicalTensor, Packing
from amssim.scheme import scheme as find_scheme
from amssim.torch.conversions import in_files
from amssim.torch.experts import AmsExperts
from amssim.torch.fuse import FusedLinear, FusedPart
from amssim.torch.linear import AmsLinear


class AmsConfig(QuantizationConfigMixin):  # type: ignore[misc]
    """How `from_pretrained` quantises a float checkpoint while it loads.

    A checkpoint that is packed already brings its own: this one is ignored for it, as transformers
    does with every stored method.

    Args:
        scheme, search, scale, scale_block, rules: as for `amssim.quantize_checkpoint`.
        stored: what the config.json of a packed checkpoint says; kept as it is.
    """

    def __init__(
        self,
        scheme: str = "fp5.33",
        *,
        search: str = "adaptive",
        scale: str = "absmax",
        scale_block: int | None = None,
        rules: Iterable[str] = (),
        **stored: Any,
    ):
        stored.pop("quant_method", None)
        self.quant_method = METHOD
        if not stored:
            self.scheme = find_scheme(scheme).name
            self.search, self.scale, self.scale_block = search, scale, scale_block
            self.rules = list(rules)
        self.__dict__.update(stored)


def stored_config(model: nn.Module) -> AmsConfig:
    """Return what config.json has to say of a model: which weights are packed, and how."""
    stated = quantization(with_quantization({}, _logical_tensors(model)))
    return AmsConfig(**(stated or {}))


def _logical_tensors(model: nn.Module) -> Iterator[LogicalTensor]:
    """Weights with two dimensions or more, as files of the model hold them."""
    for packing, weights in _weights(model).items():
        empty = {name: torch.empty(shape, device="meta") for name, shape in weights}
        for name, part in in_files(model, empty).items():
            shape = tuple(part.shape)
            if packing:
                yield LogicalTensor.packed(name, shape, packing)
            else:
                yield LogicalTensor(name, shape, "", 0)


def _weights(model: nn.Module) -> dict[Packing | None, list[tuple[str, tuple[int, ...]]]]:
    """Names in the model and shapes, by how they are packed."""
    found: dict[Packing | None, list[tuple[str, tuple[int, ...]]]] = defaultdict(list)
    scales = set()
    for name, module in model.named_modules():
        if isinstance(module, FusedLinear):
            scales.add(f"{name}.weight{SCALES}")  # files hold those of its parts
        elif isinstance(module, AmsLinear | FusedPart):
            packing = Packing(find_scheme(module.scheme), module.scale_block)
            found[packing].append((f"{name}.weight", (module.out_features, module.in_features)))
            scales.add(f"{name}.weight{SCALES}")
        elif isinstance(module, AmsExperts):
            for leaf, (experts, rows, matrix) in module.forms.items():
                packing = Packing(find_scheme(matrix.scheme), matrix.block or None)
                found[packing].append((f"{name}.{leaf}", (experts, rows, matrix.columns)))
                scales.add(f"{name}.{leaf}{SCALES}")
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.ndim > 1 and name not in scales:
            found[None].append((name, tuple(parameter.shape)))
    return found
