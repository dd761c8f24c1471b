"""A decoding step on tensors that stay where they are, eager or from a CUDA graph."""

from __future__ import annotations

import time
from contextlib import nullcontext
from inspect import signature
from typing import Any

import torch
from transformers import DynamicCache, StaticCache
from transformers.cache_utils import StaticLayer

from amssim.bench.decode import early
from amssim.bench.decode.kernels import Launch
from amssim.bench.decode.variant import DecodeVariant
from amssim.bench.timing import Call

_PARTS = 256  # of a row of logits
_CACHE_STEP = 64  # the cache's length is a multiple of it: kernels for attention like that


class DecodingStep:
    """One greedy token for each of ``batch`` sequences with ``context`` tokens in a static cache.

    Args:
        model: of `Factory`.
        batch, context: sequences, and tokens of each before the first step.
        tokens: steps that there must be room for.
    """

    def __init__(self, model: Any, batch: int, context: int, tokens: int):
        self._model, self._context = model, context
        self._device = model.device
        self._place = torch.zeros(1, dtype=torch.long, device=self._device)
        cache = _random_cache(model, batch, context + tokens, self._place)
        self._history = {_name_of_cache(model): cache}
        length = cache.layers[0].keys.shape[2]
        self._places = torch.arange(length, device=self._device)[None, None, None]
        self._token = torch.zeros(batch, 1, dtype=torch.long, device=self._device)
        self.history = torch.zeros(batch, length, dtype=torch.long, device=self._device)
        self._forward = self._plain

    def compile(self, variant: DecodeVariant) -> None:
        """Have the whole step compiled, without breaks, and take it once."""
        torch._dynamo.reset()
        options = early.OPTIONS if variant.early else None
        self._forward = torch.compile(self._plain, fullgraph=True, dynamic=False, options=options)
        self.reset()
        with early.early_kernels() if variant.early else nullcontext():
            self()

    def reset(self) -> None:
        """Begin anew after ``context`` tokens."""
        self._place.fill_(self._context)
        self._token.fill_(1)

    def _plain(self, token: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        seen = self._places <= place
        hidden = torch.zeros((), dtype=self._model.dtype, device=self._device)
        mask = torch.where(seen, hidden, torch.finfo(hidden.dtype).min)
        logits = self._model(
            input_ids=token,
            position_ids=place.expand(len(token), 1),
            attention_mask=mask,
            use_cache=True,
            **self._history,
        ).logits
        chosen = likeliest(logits[:, -1])
        self.history.scatter_(1, place.expand(len(token), 1), chosen)
        token.copy_(chosen)
        place.add_(1)
        return chosen

    def __call__(self) -> None:
        """Take a step."""
        with torch.no_grad():
            self._forward(self._token, self._place)


def likeliest(logits: torch.Tensor) -> torch.Tensor:
    """Return the index of the largest of each row [batch, 1].

    In two steps where rows divide into parts: one block of threads would read a whole row.
    """
    batch, size = logits.shape
    if size % _PARTS:
        return logits.argmax(-1, keepdim=True)
    best, places = logits.view(batch, _PARTS, -1).max(-1)
    part = best.argmax(-1, keepdim=True)
    return part * (size // _PARTS) + places.gather(1, part)


class PlacedLayer(StaticLayer):  # type: ignore[misc]
    """A static cache of a layer that writes at a place given to all, which it does not count."""

    place: torch.Tensor

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one token's keys and values, and return all."""
        self.keys.index_copy_(2, self.place, key_states)
        self.values.index_copy_(2, self.place, value_states)
        return self.keys, self.values


def _random_cache(model: Any, batch: int, length: int, place: torch.Tensor) -> Any:
    config = model.config
    whole = -(-length // _CACHE_STEP) * _CACHE_STEP
    with torch.no_grad():
        cache = StaticCache(config=config, max_cache_len=whole)
        cache.layers = [PlacedLayer(whole) for _ in cache.layers]
        cache.early_initialization(
            batch_size=batch,
            num_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            dtype=model.dtype,
            device=model.device,
        )
        for layer in cache.layers:
            layer.place = place
            layer.keys.normal_()
            layer.values.normal_()
    return cache


def nothing() -> None:
    """Do nothing."""


def captured(call: Call, device: torch.device, reset: Call = nothing) -> Call:
    """Return a call that replays ``call`` from a CUDA graph; on a CPU ``call`` itself."""
    reset()
    if device.type == "cpu":
        call()
        return call
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    reset()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    replay: Call = graph.replay
    return replay


def wall_ms(call: Call, count: int, device: torch.device) -> float:
    """Return the milliseconds of ``count`` calls, until the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1000


def launches_of(call: Call) -> list[Launch]:
    """Return the kernels of a call on a GPU, which is made once before."""
    from torch.profiler import ProfilerActivity, profile

    call()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        call()
        torch.cuda.synchronize()
    kinds = torch.autograd.DeviceType.CUDA
    return [
        Launch(event.name, event.time_range.start, event.time_range.end)
        for event in found.events()
        if event.device_type == kinds
    ]


def prompt_call(model: Any, tokens: int) -> Call:
    """Return a call that reads a prompt and chooses the token after it."""
    ids = torch.arange(tokens, device=model.device)[None] % model.config.vocab_size
    name = _name_of_cache(model)

    def call() -> None:
        with torch.no_grad():
            cache = {name: DynamicCache(config=model.config)}
            logits = model(input_ids=ids, logits_to_keep=1, **cache).logits
            logits[:, -1].argmax(-1)

    return call


def _name_of_cache(model: Any) -> str:
    """What a forward pass calls its cache, which is not the same in all versions."""
    return "cache" if "cache" in signature(model.forward).parameters else "past_key_values"
