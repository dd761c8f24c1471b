"""Which module of a transformers model each packed tensor of a checkpoint belongs to.

Asked of the model's own renaming, never guessed from names, and before any memory is taken.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from amssim.checkpoint.packed.catalog import Catalog
from amssim.checkpoint.packed.stored import LogicalTensor
from amssim.errors import MismatchError, UnsupportedError
from amssim.torch.exchange_experts import ExpertPart, exchange_experts, names_of_stacks
from amssim.torch.linear import AmsLinear


class Place(NamedTuple):
    """Where a tensor of a checkpoint belongs; one of several parts of ``key`` if it has a rule."""

    key: str
    pattern: str | None = None
    converter: WeightConverter | None = None


class Places:
    """The state of a meta model by name, and where names of a checkpoint lead in it."""

    def __init__(self, model: Any, quantizer: Any):
        self._mapping = get_model_conversion_mapping(model, None, quantizer)
        self._renamings = [m for m in self._mapping if isinstance(m, WeightRenaming)]
        self._converters = [m for m in self._mapping if isinstance(m, WeightConverter)]
        self._prefix, self.state = model.base_model_prefix, model.state_dict()

    def of(self, name: str) -> Place:
        """The model's name for tensor ``name``, and what is made of it there."""
        key, pattern = rename_source_key(
            name, self._renamings, self._converters, self._prefix, self.state
        )
        if pattern is None:
            return Place(key)
        converter = next(c for c in self._converters if pattern in c.source_patterns)
        return Place(key, pattern, converter)

    def close(self) -> None:
        """Take back the marks that a trial run leaves; a save would go by them."""
        for transform in self._mapping:
            transform._was_used = False


def exchange_stored(model: Any, catalog: Catalog, quantizer: Any) -> None:
    """Put an `AmsLinear` on the meta device wherever ``catalog`` holds a packed tensor.

    Raises:
        MismatchError: a tensor that the model has no place for, or of another shape; a linear
            layer that would get no weight.
        UnsupportedError: a place that takes no packed weights yet.
    """
    places = Places(model, quantizer)
    try:
        stacks: dict[str, list[ExpertPart]] = {name: [] for name in names_of_stacks(model)}
        loaded = set()
        for header, tensor in catalog:
            place, where = places.of(tensor.name), f"{header.path}: tensor {tensor.name!r}"
            loaded.add(place.key)
            if place.key in stacks:
                stacks[place.key].append(ExpertPart(where, tensor, place.pattern, place.converter))
            elif tensor.packing and not _is_of_a_head(model, tensor.name):
                _exchange(model, place.key, place.pattern is not None, tensor, where)
        for key, parts in stacks.items():
            exchange_experts(model, key, parts, str(catalog.checkpoint.path))
        _check_all_loaded(model, places.state, loaded, catalog)
    finally:
        places.close()


def _is_of_a_head(model: Any, name: str) -> bool:
    """Whether a model without a head leaves out the tensor, as transformers does."""
    prefix = model.base_model_prefix
    headless = bool(prefix) and not hasattr(model, prefix)
    return headless and not name.startswith(f"{prefix}.") and name not in model.state_dict()


def _exchange(model: Any, key: str, merged: bool, tensor: LogicalTensor, where: str) -> None:
    home, _, leaf = key.rpartition(".")
    module = _submodule(model, home)
    if module is None or not isinstance(getattr(module, leaf, None), torch.Tensor):
        raise MismatchError(f"{where} belongs to no parameter of {type(model).__name__} ({key!r})")
    if type(module) is not nn.Linear or leaf != "weight" or merged:
        raise UnsupportedError(
            f"{where} is packed, but its place {key!r} is in {type(module).__name__}, which takes "
            "no packed weights: keep it by a rule when quantising, or dequantise the checkpoint"
        )
    shape = (module.out_features, module.in_features)
    if tensor.shape != shape:
        raise MismatchError(f"{where} has the shape {list(tensor.shape)}, the model {list(shape)}")
    packing = tensor.check_packed()
    made = AmsLinear(
        module.in_features,
        module.out_features,
        scheme=packing.scheme,
        scale_block=packing.scale_block,
        bias=module.bias is not None,
        device="meta",
        dtype=module.weight.dtype,
    )
    model.set_submodule(home, made)


def _check_all_loaded(model: Any, state: Any, loaded: set[str], catalog: Catalog) -> None:
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    for name, module in model.named_modules():
        key = f"{name}.weight"
        is_linear = isinstance(module, nn.Linear | AmsLinear) and key in state
        if is_linear and key not in loaded and key not in tied:
            raise MismatchError(
                f"{catalog.checkpoint.path} holds no weights for {key!r} of "
                f"{type(model).__name__}: it would be random"
            )


def _submodule(model: Any, name: str) -> nn.Module | None:
    try:
        found: nn.Module = model.get_submodule(name)
    except AttributeError:
        return None
    return found
