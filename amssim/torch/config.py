"""What config.json says of a quantised model, as an object of transformers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn
from transformers.utils.quantization_config import QuantizationConfigMixin

from amssim.checkpoint.packed.config_keys import METHOD, quantization, with_quantization
from amssim.checkpoint.packed.stored import LogicalTensor, Packing
from amssim.scheme import scheme as find_scheme
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
    for name, module in model.named_modules():
        if isinstance(module, AmsLinear):
            packing = Packing(find_scheme(module.scheme), module.scale_block)
            shape = (module.out_features, module.in_features)
            yield LogicalTensor.packed(f"{name}.weight", shape, packing)
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.ndim > 1 and not _is_packed(model, name):
            yield LogicalTensor(name, tuple(parameter.shape), "", 0)


def _is_packed(model: nn.Module, name: str) -> bool:
    return isinstance(model.get_submodule(name.rpartition(".")[0]), AmsLinear)
