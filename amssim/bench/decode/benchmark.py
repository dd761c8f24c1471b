"""Tokens per second of a whole model with packed weights, beside floats of the same process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from amssim.bench.decode.kernels import longest, parts_us
from amssim.bench.decode.variant import DecodeVariant
from amssim.bench.gpu.benchmark import Record, Say
from amssim.bench.machine import describe_gpu, describe_machine
from amssim.errors import AmsError
from amssim.progress import silent
from amssim.simulator.decode import predict_decode
from amssim.simulator.models import Model
from amssim.simulator.predict import predict_latency

Keep = Callable[[Record], None]

#: What is measured unless other variants are asked for.
GPU_VARIANTS = (
    "fp16",
    "fp16+fused+compiled",
    "fp16+fused+compiled+early+attend",
    "fp5.33+fused",
    "fp5.33+fused+compiled",
    "fp5.33+fused+compiled+early+attend+head",
    "fp4.25+fused+compiled+early+attend+head",
    "fp4.25+bf16+fused+compiled+early+attend+head",
)
CPU_VARIANTS = ("fp32", "fp32+fused", "fp5.33+fp32", "fp5.33+fp32+fused", "fp4.25+fp32+fused+head")
_RUNS, _PROMPT_RUNS = 4, 5


@dataclass(frozen=True)
class DecodePlan:
    """What is measured of each variant.

    Attributes:
        batches: numbers of sequences.
        context: tokens of each before the first step.
        tokens: steps that are timed together.
        prompt: tokens of a prompt whose first answer is timed, 0 for none.
    """

    batches: tuple[int, ...] = (1,)
    context: int = 512
    tokens: int = 128
    prompt: int = 512


def unkept(record: Record) -> None:
    """Keep nothing."""


def benchmark_decode(
    model: Model,
    variants: Sequence[DecodeVariant],
    plan: DecodePlan = DecodePlan(),
    *,
    device: str = "cuda",
    command: str = "",
    keep: Keep = unkept,
    say: Say = silent,
) -> Record:
    """Time decoding steps of a model of this shape with random weights in each variant.

    On a GPU a step is one CUDA graph, on the CPU it is run eagerly. A variant that fails is
    recorded with what was said, and others go on.

    Args:
        keep: called with the record after each variant.
        say: called with a line about each figure.

    Returns:
        {"command", "machine", "model", "plan", "results"}; times in milliseconds.
    """
    import torch

    from amssim.bench.decode.model import Factory, collect

    place = torch.device(device)
    factory = Factory(model, place, plan.context + plan.tokens + plan.prompt + 64)
    record: Record = {
        "command": command,
        "machine": _machine(place),
        "model": model.name,
        "layers": model.layers,
        "plan": plan.__dict__ | {"batches": list(plan.batches)},
        "results": [],
    }
    for variant in variants:
        for result in _measured(factory, model, variant, plan, place, say):
            record["results"].append(result)
        collect(place)
        record["results"] = with_speeds(record["results"])
        keep(record)
    return record


def _machine(device: Any) -> Record:
    import torch
    import transformers

    machine = dict(describe_gpu() if device.type == "cuda" else describe_machine())
    more = {"torch": torch.__version__, "transformers": transformers.__version__}
    return machine | {"versions": {**machine["versions"], **more}}


def _measured(
    factory: Any, model: Model, variant: DecodeVariant, plan: DecodePlan, device: Any, say: Any
) -> list[Record]:
    from amssim.bench.decode.model import collect

    results: list[Record] = []
    common: Record = {"variant": variant.name, "dtype": variant.dtype}
    common |= {"scheme": variant.scheme.name if variant.scheme else None}
    start = time.perf_counter()
    try:
        made = factory.make(variant)
        collect(device)
        common |= {"make_s": time.perf_counter() - start, "memory_bytes": _memory(made, device)}
        if plan.prompt and not variant.compiled:
            common |= _prompt_times(made, plan, device)
        for batch in plan.batches:
            result = common | {"batch": batch} | _step_times(made, variant, batch, plan, device)
            if device.type == "cuda":
                result |= predicted(model, variant, batch, plan)
            results.append(result)
            say(f"{variant.name}, batch {batch}: {result['tokens_per_s']:.1f} tokens/s")
    except (AmsError, RuntimeError, TypeError, AttributeError) as error:
        said = f"{type(error).__name__}: {error}".strip()[:2000]
        results.append(common | {"error": said})
        say(f"{variant.name}: {said[:300]}")
    return results


def _memory(model: Any, device: Any) -> int:
    """Bytes that PyTorch holds after loading; on the CPU those of the state."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.memory_allocated())
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _prompt_times(model: Any, plan: DecodePlan, device: Any) -> Record:
    from amssim.bench.decode.step import captured, prompt_call, wall_ms

    call = prompt_call(model, plan.prompt)
    call()
    times = {"first_token_ms": _median(call, device)}
    if device.type == "cuda":
        replay = captured(call, device)
        times["first_token_graph_ms"] = min(wall_ms(replay, 1, device) for _ in range(_PROMPT_RUNS))
    return times


def _median(call: Any, device: Any) -> float:
    from amssim.bench.decode.step import wall_ms

    return statistics.median(wall_ms(call, 1, device) for _ in range(_PROMPT_RUNS))


def _step_times(
    model: Any, variant: DecodeVariant, batch: int, plan: DecodePlan, device: Any
) -> Record:
    from amssim.bench.decode.step import DecodingStep, captured, launches_of, wall_ms

    step = DecodingStep(model, batch, plan.context, plan.tokens)
    start = time.perf_counter()
    step.compile(variant) if variant.compiled else step()
    found: Record = {"first_step_s": time.perf_counter() - start}
    replay = captured(step, device, step.reset)
    runs = []
    for _ in range(_RUNS):
        step.reset()
        runs.append(wall_ms(replay, plan.tokens, device) / plan.tokens)
    found |= {"ms": min(runs), "runs_ms": runs, "tokens_per_s": 1000 * batch / min(runs)}
    begin = plan.context
    found["tokens"] = step.history[0, begin : begin + 8].tolist()
    if device.type == "cuda":
        step.reset()
        launches = launches_of(replay)
        found |= {"parts": parts_us(launches), "kernels": longest(launches)}
    return found


def predicted(model: Model, variant: DecodeVariant, batch: int, plan: DecodePlan) -> Record:
    """What `predict_decode` says of a step halfway, with the head at its own bits; H200 only."""
    context = plan.context + plan.tokens // 2
    options: Record = {"device": "h200", "batch": batch}
    step = predict_decode(model, variant.bits, context=context, **options)
    seconds = step.seconds
    if variant.head:
        head = predict_latency(shape=model.head, bits=variant.bits, **options)
        seconds += head.seconds - sum(p.seconds for p in step.parts if p.name == "lm_head")
    return {"predicted_ms": 1000 * seconds}


def with_speeds(results: Sequence[Record]) -> list[Record]:
    """Return results with "speedup": over the fastest one with float weights of their batch."""
    best: dict[int, float] = {}
    for result in results:
        if "ms" in result and result["scheme"] is None:
            batch = result["batch"]
            best[batch] = min(result["ms"], best.get(batch, float("inf")))
    return [
        r | {"speedup": best[r["batch"]] / r["ms"]} if r.get("batch") in best else dict(r)
        for r in results
    ]
