"""Which tensors are quantised: the default choice, and rules that override it.

By default these are quantised, if float16, bfloat16 or float32: 2-D tensors named ``*.weight``
and the matrices of 3-D tensors of experts (with ``experts`` as a part of the name). Kept are

- embeddings and the output head, often tied, and looked up rather than multiplied;
- norms, biases and everything else that is not a matrix;
- routers of experts (``gate``, ``router``): tiny, and an error there changes which experts run.

The orientation is never guessed: groups lie along the last dimension, scales belong to the rest.
Nothing is quantised of a checkpoint that is quantised already, whoever did it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from amssim.checkpoint.packed.config_keys import quantization
from amssim.checkpoint.packed.manifest import KEY
from amssim.checkpoint.packed.stored import FLOAT_DTYPES
from amssim.checkpoint.safetensors.header import TensorInfo
from amssim.checkpoint.safetensors.shards import Checkpoint
from amssim.errors import InputError, SchemeError, UnsupportedError
from amssim.scheme import Scheme, scheme

KEEP = "keep"

# Owners are all parts of a name but the last, as `mlp` of `mlp.weight`. A tensor is kept if one of
# them is such a word, or holds such a piece. Nothing is searched for by expressions: the time goes
# with the length of a name, whatever it repeats.
_KEPT_OWNERS: tuple[tuple[str, set[str], tuple[str, ...]], ...] = (
    ("output head", {"lm_head", "embed_out"}, ()),
    ("embedding", {"wte", "wpe"}, ("embed",)),
    ("router", {"gate", "router", "shared_expert_gate"}, ()),
    ("norm", set(), ("norm", ".ln_")),
)
_KEPT_NAMES = {"output.weight": "output head", "shared.weight": "embedding"}
_QUANTIZED_PARTS = {"qweight", "qzeros", "g_idx", "SCB", "absmax", "quant_map"}
_QUANTIZED_PARTS |= {f"weight_{part}" for part in ("packed", "scale", "scale_inv", "zero_point")}


class TensorRule(NamedTuple):
    """Tensors whose name contains a match of ``pattern`` get ``scheme``; None keeps them."""

    text: str
    pattern: re.Pattern[str]
    scheme: Scheme | None


class Decision(NamedTuple):
    """The scheme of a tensor and why it has it; a tensor that is kept has none."""

    scheme: Scheme | None
    reason: str
    rule: TensorRule | None = None


def parse_rule(text: str) -> TensorRule:
    r"""Read ``REGEX=SCHEME`` or ``REGEX=keep``; the last ``=`` separates.

    The expression is searched for in every name, of at most 4,096 bytes: one that tries the same
    characters in many ways, such as ``(a+)+$``, takes its time.

    Raises:
        SchemeError: no ``=``, an invalid expression or an unknown scheme.

    >>> parse_rule(r"layers\.0\.=fp6-e2m3").scheme.name
    'fp6-e2m3'
    """
    expression, equals, target = text.rpartition("=") if isinstance(text, str) else ("", "", "")
    if not equals or not expression:
        raise SchemeError(f"rule {text!r} must read REGEX=SCHEME or REGEX=keep")
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise SchemeError(f"rule {text!r} is no regular expression: {error}") from None
    return TensorRule(text, pattern, None if target == KEEP else scheme(target))


def decide(
    tensors: Iterable[TensorInfo], rules: Sequence[TensorRule], default: Scheme
) -> dict[str, Decision]:
    """Return what is decided for every tensor; of rules, the first that matches its name decides.

    Raises:
        InputError: a rule that decides nothing: no tensor matches, earlier rules took them all,
            or those it would quantise cannot be.
    """
    decisions = {info.name: _decide(info, rules, default) for info in tensors}
    effective = {d.rule for d in decisions.values() if d.rule and d.rule.scheme == d.scheme}
    for rule in rules:
        if rule not in effective:
            raise InputError(f"rule {rule.text!r} {_idle(rule, decisions)}")
    return decisions


def refuse_quantized(checkpoint: Checkpoint) -> None:
    """Raise `UnsupportedError` if ``checkpoint`` holds anything but plain weights."""
    sign = _sign(checkpoint)
    if sign:
        raise UnsupportedError(
            f"{checkpoint.path} is quantised already ({sign}): start from the float checkpoint, "
            "or dequantise it first"
        )


def _decide(info: TensorInfo, rules: Sequence[TensorRule], default: Scheme) -> Decision:
    rule = next((r for r in rules if r.pattern.search(info.name)), None)
    if rule and rule.scheme is None:
        return Decision(None, f"rule {rule.text}", rule)
    obstacle = _obstacle(info)
    if obstacle:
        return Decision(None, obstacle, rule)
    if rule:
        return Decision(rule.scheme, f"rule {rule.text}", rule)
    reason = _kept_by_default(info)
    return Decision(None, reason) if reason else Decision(default, "default")


def _obstacle(info: TensorInfo) -> str | None:
    """What no rule can overcome."""
    if len(info.shape) not in (2, 3):
        return f"{len(info.shape)}-D"
    if not info.count:
        return "empty"
    if info.dtype not in FLOAT_DTYPES:
        return f"{info.dtype} is not {', '.join(FLOAT_DTYPES)}"
    return None


def _kept_by_default(info: TensorInfo) -> str | None:
    parts = info.name.split(".")
    owners, path = set(parts[:-1]), "." + info.name.rpartition(".")[0]
    for reason, words, pieces in _KEPT_OWNERS:
        if owners & words or any(piece in path for piece in pieces):
            return reason
    if info.name in _KEPT_NAMES:
        return _KEPT_NAMES[info.name]
    if len(info.shape) == 3:
        return None if "experts" in parts else "3-D, not experts"
    return None if info.name.endswith(".weight") else "not named *.weight"


def _idle(rule: TensorRule, decisions: dict[str, Decision]) -> str:
    matched = [name for name in sorted(decisions) if rule.pattern.search(name)]
    if not matched:
        return "matches no tensor: expressions are searched for anywhere in a tensor's name"
    decision = decisions[matched[0]]
    if decision.rule is None or decision.rule == rule:
        return f"matches nothing that can be quantised: {matched[0]!r} is {decision.reason}"
    return f"is never reached: {decision.rule.text!r} comes first for {matched[0]!r}"


def _sign(checkpoint: Checkpoint) -> str | None:
    """What shows that a checkpoint is quantised; None for plain weights."""
    stated = quantization(checkpoint.config)
    if stated is not None:
        return f"quant_method {stated.get('quant_method')!r} in config.json"
    for header, info in checkpoint.items():
        if KEY in header.metadata:
            return f"{header.path.name} was written by amssim"
        if _is_of_quantized(info.name):
            return f"tensor {info.name!r}"
        if info.dtype.startswith(("F8_", "F6_", "F4")):
            return f"tensor {info.name!r} is {info.dtype}"
    return None


def _is_of_quantized(name: str) -> bool:
    """Whether other tools name the parts of a quantised tensor so."""
    _, *parts = name.split(".")
    return bool(parts) and (parts[-1] in _QUANTIZED_PARTS or "quant_state" in parts[:-1])
