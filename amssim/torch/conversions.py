"""How files name and split what a transformers model merges, for the parts of packed tensors too.

The rules are the model's own: nothing here knows a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import torch
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    Concatenate,
    MergeModulelist,
    PrefixChange,
    WeightConverter,
    WeightRenaming,
    WeightTransform,
    revert_weight_conversion,
)

from amssim.checkpoint.packed.stored import SCALES, SHAPE, WORDS
from amssim.torch.experts import AmsExperts

_KINDS = (WeightRenaming, WeightConverter)


def with_packed_parts(transforms: Iterable[WeightTransform]) -> list[WeightTransform]:
    """Return ``transforms``, those of ``x.weight`` followed by the same for ``x.weight_packed``...

    Older releases of transformers find a rule's name in longer ones and need none of these.
    """
    made: list[WeightTransform] = []
    for transform in transforms:
        made.append(transform)
        if _ends_at_names() and type(transform) in _KINDS and _names_leaves(transform):
            made += [_copy(transform, part) for part in (WORDS, SCALES, SHAPE)]
    return made


def keep_conversions(model: Any) -> None:
    """Let ``model`` save what was packed under the names and in the parts of its float files."""
    model._weight_conversions = with_packed_parts(_of_saving(model))


def keeps_rows(converter: WeightConverter | None) -> bool:
    """Whether a rule puts whole rows of experts together and nothing else: so may their words."""
    return all(
        (isinstance(op, MergeModulelist) and op.dim == 0)
        or (isinstance(op, Concatenate) and op.dim == 1)
        for op in (converter.operations if converter else ())
    )


def is_rearranged(model: Any, name: str) -> bool:
    """Whether loading makes the experts' weight ``name`` from anything but whole rows."""
    converters = [rule for rule in _of_saving(model) if isinstance(rule, WeightConverter)]
    for rule in converters:
        back = WeightRenaming(rule._original_target_patterns, rule._original_source_patterns[:1])
        if back.rename_source_key(name)[1] is not None and not keeps_rows(rule):
            return True
    return False


def _of_saving(model: Any) -> list[WeightTransform]:
    """The rules that a save of ``model`` goes by."""
    known = getattr(model, "_weight_conversions", None)
    if known is None:
        rules = get_model_conversion_mapping(model, add_legacy=False)
        known = [rule for rule in rules if not isinstance(rule, PrefixChange)]
    return list(known)


def state_parts(model: Any) -> None:
    """Let packed experts say of their shape what the files of ``model`` say."""
    for name, module in model.named_modules():
        if isinstance(module, AmsExperts):
            for leaf, (experts, rows, matrix) in module.forms.items():
                weight = torch.empty((experts, rows, matrix.columns), device="meta")
                parts = in_files(model, {f"{name}.{leaf}": weight}).values()
                whole = next(iter(parts)).ndim == weight.ndim
                module.state_parts_(leaf, 0 if whole else len(parts) // experts)


def in_files(model: Any, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return what a file of ``model`` makes of tensors of its state; those may be on meta."""
    made: dict[str, torch.Tensor] = revert_weight_conversion(model, dict(tensors))
    return made


@cache
def _ends_at_names() -> bool:
    """Whether a rule for ``a.weight`` leaves ``a.weight_packed`` alone: from 5.24 on."""
    rule = WeightRenaming("a.weight", "b.weight")
    return rule.rename_source_key("a.weight" + WORDS)[1] is None


def _names_leaves(transform: WeightTransform) -> bool:
    """Whether every pattern ends with letters of a name, behind which a part may stand."""
    patterns = (*transform._original_source_patterns, *transform._original_target_patterns)
    return all(pattern[-1:].isalnum() for pattern in patterns)


def _copy(transform: WeightTransform, part: str) -> WeightTransform:
    sources = [pattern + part for pattern in transform._original_source_patterns]
    targets = [pattern + part for pattern in transform._original_target_patterns]
    more: dict[str, Any] = {}
    if isinstance(transform, WeightConverter):
        more = {"operations": list(transform.operations), "force_cpu": transform.force_cpu}
    made = type(transform)(sources, targets, **more)
    made.scope_prefix = transform.scope_prefix
    made.base_model_prefix = transform.base_model_prefix
    made._was_used = transform._was_used
    return made
