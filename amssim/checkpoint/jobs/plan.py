"""Planning: what each job does to every tensor, decided from headers alone.

There are two jobs: quantising a float checkpoint, and making a quantised one plain again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from amssim._threads import thread_count
from amssim._whole import check_scale_block
from amssim.checkpoint.jobs.card import source_name
from amssim.checkpoint.jobs.finite import check_on_nan, keep_not_finite
from amssim.checkpoint.jobs.job import Job, ShardJob, Step
from amssim.checkpoint.jobs.rules import Decision, decide, parse_rule, refuse_quantized
from amssim.checkpoint.packed.catalog import read_catalog
from amssim.checkpoint.packed.config_keys import with_quantization, without_quantization
from amssim.checkpoint.packed.manifest import Manifest, SetId
from amssim.checkpoint.packed.set_check import check_set
from amssim.checkpoint.packed.stored import FLOAT_DTYPES, LogicalTensor, Packing
from amssim.checkpoint.safetensors.header import DTYPE_BITS
from amssim.checkpoint.safetensors.shards import read_checkpoint
from amssim.errors import InputError, SchemeError, UnsupportedError
from amssim.rules import check_scale, check_search
from amssim.scheme import Scheme
from amssim.scheme import scheme as find_scheme

DEFAULT_SCHEME = "fp5.33-e2m3"

_STORED = {name: dtype for dtype, name in FLOAT_DTYPES.items()}


def plan_quantize(
    src: str | Path,
    scheme: str | Scheme = DEFAULT_SCHEME,
    *,
    search: str = "adaptive",
    scale: str = "absmax",
    scale_block: int | None = None,
    rules: Iterable[str] = (),
    on_nan: str = "error",
    card: bool | str = False,
    follow_links: bool = True,
    threads: int | None = None,
) -> Job:
    """Decide from headers what quantising ``src`` means; arguments as `quantize_checkpoint`.

    With ``on_nan="keep"`` the weights are read as well.

    Raises:
        AmsError: as `quantize_checkpoint`, as far as headers tell.
    """
    check_search(search)
    check_scale(scale)
    check_scale_block(scale_block, 1)
    threads = thread_count(threads)
    options = Packing(find_scheme(scheme), scale_block, search, scale)
    texts = list(rules)
    parsed = [parse_rule(text) for text in texts]
    check_on_nan(on_nan)
    checkpoint = read_checkpoint(src, follow_links=follow_links)
    refuse_quantized(checkpoint)
    seal, _ = check_set(checkpoint, dict.fromkeys(checkpoint.shards))
    decisions = decide((info for _, info in checkpoint.items()), parsed, options.scheme)
    if on_nan == "keep":
        decisions = keep_not_finite(checkpoint, decisions, threads)
    _check_any(decisions, checkpoint.path)

    shards = []
    for header in checkpoint.shards.values():
        tensors = [LogicalTensor.plain(header.tensors[name]) for name in sorted(header.tensors)]
        steps = tuple(Step(t, _quantized(t, decisions[t.name], options)) for t in tensors)
        shards.append(ShardJob(header, steps, _manifest(steps, of_set=checkpoint.is_directory)))
    after = [step.after for shard in shards for step in shard.steps]
    config = with_quantization(checkpoint.config, after)
    own = _options(options, texts, on_nan, source_name(Path(src)) if card is True else card)
    return Job(checkpoint, tuple(shards), config, own, threads, seal=seal)


def plan_dequantize(
    src: str | Path,
    dtype: str = "bfloat16",
    *,
    verify: bool = True,
    follow_links: bool = True,
    threads: int | None = None,
) -> Job:
    """Decide from headers what making ``src`` plain means; arguments as `dequantize_checkpoint`.

    Raises:
        AmsError: as `dequantize_checkpoint`, as far as headers tell.
    """
    if dtype not in _STORED:
        raise SchemeError(f"unknown dtype {dtype!r}: choose one of {', '.join(_STORED)}")
    catalog = read_catalog(src, follow_links=follow_links)
    if not catalog.is_ams:
        raise UnsupportedError(f"{src} holds no tensors that amssim packed: nothing to dequantise")
    shards = []
    for name, tensors in catalog.shards.items():
        steps = tuple(Step(t, _restored(t, _STORED[dtype])) for t in tensors)
        sums = {n: crc for t in tensors for n, crc in t.sums.items()} if verify else {}
        shards.append(ShardJob(catalog.checkpoint.shards[name], steps, None, sums))
    config = without_quantization(catalog.checkpoint.config)
    options = {"job": "dequantize", "dtype": dtype, "verify": verify}
    seal, threads = catalog.seal if verify else None, thread_count(threads)
    return Job(catalog.checkpoint, tuple(shards), config, options, threads, seal=seal)


def plan_again(src: str | Path, options: dict[str, Any], threads: int | None = None) -> Job:
    """Return the job whose `Job.options` are ``options``; errors as those that planned it."""
    own = dict(options)
    plan = plan_quantize if own.pop("job") == "quantize" else plan_dequantize
    return plan(src, **own, threads=threads)


def _options(
    packing: Packing, rules: list[str], on_nan: str, card: str | Literal[False]
) -> dict[str, Any]:
    own = packing.as_dict() | ({"card": card} if card else {})
    del own["dtype"]
    return {"job": "quantize", "rules": rules, "on_nan": on_nan} | own


def _quantized(tensor: LogicalTensor, decision: Decision, options: Packing) -> LogicalTensor:
    if decision.scheme is None:
        return replace(tensor, reason=decision.reason)
    scale_block = check_scale_block(options.scale_block, tensor.shape[-1])
    packing = replace(options, scheme=decision.scheme, scale_block=scale_block, dtype=tensor.dtype)
    return LogicalTensor.packed(tensor.name, tensor.shape, packing)


def _restored(tensor: LogicalTensor, dtype: str) -> LogicalTensor:
    if tensor.packing is None:
        return tensor
    nbytes = tensor.weight_count * DTYPE_BITS[dtype] // 8
    reason = f"from {tensor.packing.scheme}"
    return replace(tensor, dtype=dtype, nbytes=nbytes, packing=None, reason=reason)


def _manifest(steps: Iterable[Step], *, of_set: bool) -> Manifest:
    after = [step.after for step in steps]
    return Manifest(
        packed={tensor.name: tensor.packing for tensor in after if tensor.packing},
        kept={tensor.name: tensor.reason for tensor in after if not tensor.packing},
        set_id=SetId("0" * 32) if of_set else None,  # as long as the one that sealing puts there
    )


def _check_any(decisions: dict[str, Decision], path: Path) -> None:
    if not any(decision.scheme for decision in decisions.values()):
        reasons = sorted({d.reason for d in decisions.values()}) or ["it has no tensors"]
        raise InputError(
            f"nothing of {path} would be quantised ({'; '.join(reasons)}): choose tensors by a rule"
        )
