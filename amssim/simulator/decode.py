"""The time of one decode step of a language model: every product, attention and the small rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

from amssim.errors import InputError
from amssim.hardware import Profile, profile
from amssim.simulator.descriptors import device_numbers
from amssim.simulator.inputs import MAX_BATCH, Bits, DeviceName, check_count
from amssim.simulator.models import Model, model_of
from amssim.simulator.predict import predict_latency
from amssim.simulator.results import Latency, indented

#: Two norms, rotary embedding, cache write, activation, residual: kernels beside the products.
SMALL_KERNELS_PER_LAYER = 6
KV_BITS = (4, 8, 16)


@dataclass(frozen=True)
class Part:
    """One kind of work in a step: how often, and seconds for all of it."""

    name: str
    count: int
    seconds: float
    shape: tuple[int, int] | None = None
    latency: Latency | None = None


@dataclass(frozen=True)
class DecodeStep:
    """Predicted seconds of one decode step, part by part. ``float()`` gives seconds."""

    model: Model
    profile: Profile
    bits: float
    batch: int
    context: int
    kv_bits: int
    graph: bool
    parts: tuple[Part, ...]

    @property
    def seconds(self) -> float:
        """Predicted duration of the step."""
        return sum(part.seconds for part in self.parts)

    @property
    def tokens_per_s(self) -> float:
        """Tokens of the whole batch per second."""
        return self.batch / self.seconds

    @property
    def weight_share(self) -> float:
        """Share of the step that goes into products with weights."""
        return sum(part.seconds for part in self.parts if part.shape) / self.seconds

    def __float__(self) -> float:
        return self.seconds

    def __str__(self) -> str:
        launch = "CUDA graph" if self.graph else "eager"
        head = (
            f"{self.seconds * 1e3:.3f} ms per step, {self.tokens_per_s:.0f} tokens/s, "
            f"{self.weight_share:.0%} of it weights"
        )
        what = (
            f"{self.model.name} at {self.bits:.4g} bits, {self.profile.title}, "
            f"batch {self.batch}, context {self.context}, {self.kv_bits}-bit KV cache, {launch}"
        )
        return "\n".join([head, indented(what), *map(self._line, self.parts)])

    def _line(self, part: Part) -> str:
        shape = "{} x {}".format(*part.shape) if part.shape else ""
        bound = part.latency.binding if part.latency else ""
        each_us, share = part.seconds / part.count * 1e6, part.seconds / self.seconds
        line = (
            f"  {part.name:10} {part.count:4} x {shape:15} {each_us:8.2f} us {share:6.1%}  {bound}"
        )
        return line.rstrip()

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for `json.dump`, times in seconds."""
        return {
            "model": self.model.name,
            "gpu": self.profile.name,
            "bits": self.bits,
            "batch": self.batch,
            "context": self.context,
            "kv_bits": self.kv_bits,
            "graph": self.graph,
            "seconds": self.seconds,
            "tokens_per_s": self.tokens_per_s,
            "weight_share": self.weight_share,
            "parts": [
                {"name": p.name, "count": p.count, "seconds": p.seconds, "shape": p.shape}
                for p in self.parts
            ],
        }


def predict_decode(
    model: str | Path | Model = "llama-3.1-8b",
    bits: Bits | None = 16 / 3,
    *,
    device: DeviceName = "h200",
    batch: int = 1,
    context: int = 1024,
    kv_bits: int = 16,
    kernel: str | None = None,
    graph: bool = True,
) -> DecodeStep:
    """Predict one decode step; weights are cold, embedding and output head stay at 16 bits.

    Args:
        model: a preset, a ``config.json``, its directory, or a `Model`.
        bits: of the linear layers' weights; None for the unquantised baseline.
        device, batch, kernel: as in `predict_latency`.
        context: tokens in the KV cache, 0 or more.
        kv_bits: 4, 8 or 16 bits per element of the cache.
        graph: replayed from a CUDA graph, or launched kernel by kernel as the driver allows.

    Raises:
        InputError, FormatError, UnsupportedError: as `predict_latency` and `models.model_of`.

    >>> step = predict_decode("llama-3.1-8b", 4.25)
    >>> 0.8 < step.weight_share < 1, step.seconds < predict_decode(bits=None).seconds
    (True, True)
    """
    on, shapes = profile(device), model_of(model)
    context = check_count(context, "context", 2**24, least=0)
    batch = check_count(batch, "batch", MAX_BATCH)
    if not isinstance(kv_bits, Integral) or kv_bits not in KV_BITS:
        raise InputError(f"kv_bits is {kv_bits!r}, expected one of {', '.join(map(str, KV_BITS))}")
    options = {"device": on, "batch": batch, "graph": graph}
    parts = [
        _product(part, shapes.layers, shape, bits=bits, kernel=kernel, **options)
        for part, shape in shapes.linears.items()
    ]
    width = parts[0].latency.question.bits
    parts.append(_product("lm_head", 1, shapes.head, **options))
    parts += _rest(shapes, on, batch, context, kv_bits, graph)
    return DecodeStep(shapes, on, width, batch, context, kv_bits, graph, tuple(parts))


def _product(name: str, count: int, shape: tuple[int, int], **options: Any) -> Part:
    latency = predict_latency(shape=shape, **options)
    return Part(name, count, count * latency.seconds, shape, latency)


def _rest(
    shapes: Model, on: Profile, batch: int, context: int, kv_bits: int, graph: bool
) -> Iterator[Part]:
    """Yield attention and small kernels: one pass over their bytes, one launch each at least."""
    numbers = device_numbers(on, graph=graph)
    cache_s = shapes.kv_bytes(batch, context, kv_bits) / numbers.dram_bytes_per_s
    attention_s = max(cache_s, numbers.launch_s) + numbers.launch_s  # split over KV, then reduced
    yield Part("attention", shapes.layers, shapes.layers * attention_s)
    small_s = max(4 * batch * shapes.hidden / numbers.l2_bytes_per_s, numbers.launch_s)
    count = SMALL_KERNELS_PER_LAYER * shapes.layers
    yield Part("small", count, count * small_s)
    logits_s = 2 * batch * shapes.vocabulary / numbers.l2_bytes_per_s
    yield Part("sampling", 1, max(logits_s, numbers.launch_s))
