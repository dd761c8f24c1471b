"""Giving the experts of a meta model packed weights, where a checkpoint's parts can be merged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from transformers.core_model_loading import WeightConverter

from amssim.checkpoint.packed.stored import LogicalTensor
from amssim.errors import MismatchError, UnsupportedError
from amssim.torch.conversions import keeps_rows
from amssim.torch.expert_weights import expert_weights, experts_modules, obstacle
from amssim.torch.experts import AmsExperts
from amssim.torch.storage import PackedForm

_ADVICE = "keep its experts by a rule when quantising, or dequantise the checkpoint"


class ExpertPart(NamedTuple):
    """A tensor of a checkpoint that goes into the weight of a model's experts, and by which rule.

    Without a ``pattern`` it is all of that weight. ``where`` begins the sentence of an error.
    """

    where: str
    tensor: LogicalTensor
    pattern: str | None
    converter: WeightConverter | None


def names_of_stacks(model: Any) -> list[str]:
    """Return the names of all weights of experts in ``model``."""
    modules = experts_modules(model).items()
    return [f"{home}.{leaf}" for home, module in modules for leaf in expert_weights(module)]


def exchange_experts(model: Any, key: str, parts: Sequence[ExpertPart], path: str) -> None:
    """Declare the weight ``key`` packed as ``parts`` of the checkpoint at ``path`` are.

    Raises:
        MismatchError: parts that are missing, or of other shapes than the model's.
        UnsupportedError: experts that take no packed weights; parts that differ in how they are
            packed; rules that would tear packed words.
    """
    home, _, leaf = key.rpartition(".")
    module = model.get_submodule(home)
    shape = tuple(getattr(module, leaf).shape)
    if not any(part.tensor.packing for part in parts):
        _check_complete(key, shape, parts, f"{path} ({type(model).__name__})")
        return
    first = next(part for part in parts if part.tensor.packing)
    reason = None if isinstance(module, AmsExperts) else obstacle(module)
    if reason or not keeps_rows(first.converter):
        reason = reason or f"{type(model).__name__} rearranges it while loading"
        raise UnsupportedError(f"{first.where} is packed, but {reason}: {_ADVICE}")
    _check_complete(key, shape, parts, f"{path} ({type(model).__name__})")
    _check_alike(key, parts)
    _check_shapes(shape, parts)
    if not isinstance(module, AmsExperts):
        module = AmsExperts(module)
        model.set_submodule(home, module)
    packing = first.tensor.check_packed()
    form = PackedForm(packing.scheme.name, shape[2], packing.scale_block or 0)
    module.declare_(leaf, form, len(parts) // shape[0] if first.pattern else 0)


def _check_complete(
    key: str, shape: tuple[int, ...], parts: Sequence[ExpertPart], where: str
) -> None:
    """Refuse a weight that would be short of experts: nothing else counts them."""
    if not parts:
        raise MismatchError(f"{where} holds no weights for {key!r}: it would be random")
    rule = parts[0].converter
    if rule is None or not keeps_rows(rule):
        return  # one tensor for all experts, or parts of another kind
    counts = Counter(part.pattern for part in parts)
    for pattern in rule.source_patterns:
        if counts[pattern] != shape[0]:
            raise MismatchError(
                f"{where} holds {counts[pattern]} tensors {pattern!r} for {key!r}, which has "
                f"{shape[0]} experts"
            )


def _check_alike(key: str, parts: Sequence[ExpertPart]) -> None:
    """Refuse parts of one tensor that are not packed alike."""
    first = parts[0]
    for part in parts[1:]:
        if _form(part) != _form(first):
            raise UnsupportedError(
                f"{first.where} is {_form(first)} and {part.tensor.name!r} is {_form(part)}, but "
                f"{key!r} merges them: quantise both alike, by a rule for both"
            )


def _form(part: ExpertPart) -> str:
    packing = part.tensor.packing
    if packing is None:
        return "not packed"
    block = f" in blocks of {packing.scale_block}" if packing.scale_block else ""
    return f"{packing.scheme.name}{block}"


def _check_shapes(shape: tuple[int, ...], parts: Sequence[ExpertPart]) -> None:
    experts, rows, columns = shape
    of_one = (rows // max(1, len(parts) // experts), columns)
    for part in parts:
        expected = of_one if part.pattern else shape
        if part.tensor.shape != expected:
            raise MismatchError(
                f"{part.where} has the shape {list(part.tensor.shape)}, the model {list(expected)}"
            )
