"""Which weights of a model are packed: the rules for checkpoints, and what experts take."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable

import torch
from torch import nn

from amssim.checkpoint.jobs.rules import Decision, decide, parse_rule
from amssim.checkpoint.safetensors.header import TensorInfo
from amssim.errors import InputError, UnsupportedError
from amssim.scheme import Scheme
from amssim.torch.expert_weights import expert_weights, experts_modules, obstacle

_DTYPES = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}


def is_of_transformers(model: nn.Module) -> bool:
    """Whether transformers loads and saves such a model."""
    transformers = sys.modules.get("transformers")
    return transformers is not None and isinstance(model, transformers.PreTrainedModel)


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Return the plain linear layers of ``model`` by name."""
    return {name: m for name, m in model.named_modules() if type(m) is nn.Linear and name}


def decide_weights(model: nn.Module, scheme: Scheme, rules: Iterable[str]) -> dict[str, Decision]:
    """Return what is decided for each linear layer's and experts' weight, as for checkpoints.

    Raises:
        InputError: nothing would be quantised, or a rule has no effect.
        UnsupportedError: a rule for experts that take no packed weights.
    """
    infos = [_info(f"{name}.weight", m.weight) for name, m in linear_layers(model).items()]
    obstacles = {}
    for home, module in experts_modules(model).items():
        for leaf, weight in expert_weights(module).items():
            infos.append(_info(f"{home}.{leaf}", weight))
            obstacles[infos[-1].name] = obstacle(module) or _rearranged(model, infos[-1].name)
    decisions = decide(infos, [parse_rule(text) for text in rules], scheme)
    for name, reason in obstacles.items():
        if reason and decisions[name].scheme:
            decisions[name] = _kept(name, decisions[name], reason)
    if not any(decision.scheme for decision in decisions.values()):
        reasons = sorted({d.reason for d in decisions.values()}) or ["it has no linear layers"]
        raise InputError(f"nothing of the model would be quantised ({'; '.join(reasons)})")
    _warn_of({d.reason for d in decisions.values()} & set(obstacles.values()))
    return decisions


def _kept(name: str, decision: Decision, reason: str) -> Decision:
    """The decision for experts that take no packed weights: kept unless a rule wants otherwise."""
    if decision.rule:
        raise UnsupportedError(
            f"rule {decision.rule.text!r} quantises {name!r}, but {reason}: keep it by a rule "
            "before this one"
        )
    return Decision(None, reason)


def _rearranged(model: nn.Module, name: str) -> str | None:
    if not is_of_transformers(model):
        return None
    from amssim.torch.conversions import is_rearranged

    rearranged = is_rearranged(model, name)
    return f"{type(model).__name__} rearranges its experts while loading" if rearranged else None


def _warn_of(reasons: Iterable[str | None]) -> None:
    """Say that most of a model stays as it is."""
    for reason in sorted(filter(None, reasons)):
        warnings.warn(f"experts are not quantised: {reason}", stacklevel=4)


def _info(name: str, weight: torch.Tensor) -> TensorInfo:
    dtype = _DTYPES.get(weight.dtype, str(weight.dtype))
    return TensorInfo(name, dtype, tuple(weight.shape), 0, weight.numel() * weight.element_size())
