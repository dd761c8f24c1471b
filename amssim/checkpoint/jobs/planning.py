"""The two jobs as plans: quantise a float checkpoint, or make a quantised one plain again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from amssim._checks import check_scale_block
from amssim.checkpoint.jobs.plan import Plan, ShardPlan, Step
from amssim.checkpoint.jobs.quantized_source import refuse_quantized
from amssim.checkpoint.jobs.rules import Choice, choose, parse_rule
from amssim.checkpoint.packed.contents import Content, read_contents
from amssim.checkpoint.packed.manifest import Manifest, Packing
from amssim.checkpoint.packed.quantization_config import describe
from amssim.checkpoint.safetensors.config import with_quantization, without_quantization
from amssim.checkpoint.safetensors.header import DTYPE_BITS, FLOAT_NAMES
from amssim.checkpoint.safetensors.source import read_checkpoint
from amssim.errors import InputError, SchemeError, UnsupportedError
from amssim.rules import check_scale, check_search
from amssim.scheme import Scheme
from amssim.scheme import scheme as find_scheme

DEFAULT_SCHEME = "fp5.33-e2m3"
_STORED = {name: dtype for dtype, name in FLOAT_NAMES.items()}


def plan_quantize(
    src: str | Path,
    scheme: str | Scheme = DEFAULT_SCHEME,
    *,
    search: str = "adaptive",
    scale: str = "absmax",
    scale_block: int | None = None,
    rules: Iterable[str] = (),
) -> Plan:
    """Decide from headers what quantising ``src`` means; arguments as `quantize_checkpoint`.

    Raises:
        AmsError: as `quantize_checkpoint`, as far as headers tell.
    """
    options = {"search": check_search(search), "scale": check_scale(scale)}
    check_scale_block(scale_block, 1)
    default, parsed = find_scheme(scheme), [parse_rule(text) for text in rules]
    checkpoint = read_checkpoint(src)
    refuse_quantized(checkpoint)
    choices = choose((info for _, info in checkpoint.items()), parsed, default)
    _check_any(choices, checkpoint.path)

    shards = []
    for header in checkpoint.shards.values():
        contents = [Content.plain(header.tensors[name]) for name in sorted(header.tensors)]
        steps = [Step(c, _quantized(c, choices[c.name], scale_block, options)) for c in contents]
        shards.append(ShardPlan(header, tuple(steps), _manifest(steps)))
    block = describe(shard.manifest for shard in shards)
    return Plan(checkpoint, tuple(shards), with_quantization(checkpoint.config, block))


def plan_dequantize(src: str | Path, dtype: str = "bfloat16") -> Plan:
    """Decide from headers what making ``src`` plain means; arguments as `dequantize_checkpoint`.

    Raises:
        AmsError: as `dequantize_checkpoint`, as far as headers tell.
    """
    if dtype not in _STORED:
        raise SchemeError(f"unknown dtype {dtype!r}: choose one of {', '.join(_STORED)}")
    contents = read_contents(read_checkpoint(src))
    if not contents.is_ams:
        raise UnsupportedError(f"{src} holds no tensors that amssim packed: nothing to dequantise")
    shards = []
    for name, tensors in contents.shards.items():
        steps = tuple(Step(c, _restored(c, _STORED[dtype])) for c in tensors)
        shards.append(ShardPlan(contents.checkpoint.shards[name], steps, None))
    config = without_quantization(contents.checkpoint.config)
    return Plan(contents.checkpoint, tuple(shards), config)


def _quantized(content: Content, choice: Choice, block: int | None, options: dict) -> Content:
    if choice.scheme is None:
        return replace(content, reason=choice.reason)
    block = check_scale_block(block, content.shape[-1])
    packing = Packing(choice.scheme, block, dtype=content.dtype, **options)
    return Content.packed(content.name, content.shape, packing)


def _restored(content: Content, dtype: str) -> Content:
    if content.packing is None:
        return content
    nbytes = content.weights * DTYPE_BITS[dtype] // 8
    reason = f"from {content.packing.scheme}"
    return replace(content, dtype=dtype, nbytes=nbytes, packing=None, reason=reason)


def _manifest(steps: list[Step]) -> Manifest:
    after = [step.after for step in steps]
    return Manifest(
        packed={content.name: content.packing for content in after if content.packing},
        kept={content.name: content.reason for content in after if not content.packing},
    )


def _check_any(choices: dict[str, Choice], path: Path) -> None:
    if not any(choice.scheme for choice in choices.values()):
        reasons = sorted({choice.reason for choice in choices.values()}) or ["it has no tensors"]
        raise InputError(
            f"nothing of {path} would be quantised ({'; '.join(reasons)}): choose tensors by a rule"
        )
