"""A language model from a checkpoint directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from amssim.checkpoint.packed.mapping import FloatCheckpoint
from amssim.errors import FormatError
from amssim.lm.backends import Backend, backend
from amssim.lm.config import LlamaConfig
from amssim.lm.llama import LINEARS, Llama


def load_model(
    checkpoint: str | Path, library: Backend | None = None, *, verify: bool = True
) -> Llama:
    """Read a Llama-architecture checkpoint into float32 arrays of ``library`` (numpy if None).

    ``verify`` compares each tensor with its checksum, where the file has one.

    Raises:
        FormatError: a tensor that the configuration asks for is missing or of another shape.
        MismatchError: a tensor that is damaged.
        UnsupportedError: another architecture.
    """
    library = library or backend()
    config = LlamaConfig.read(Path(checkpoint))
    tensors = FloatCheckpoint(checkpoint, verify=verify)
    missing = next((name for name, _ in _expected(config) if name not in tensors), None)
    if missing:
        raise FormatError(f"{checkpoint} has no tensor {missing!r}, which its config.json asks for")
    weights = {name: tensors[name] for name in tensors}
    for name, shape in _expected(config):
        if weights[name].shape != shape:
            raise FormatError(
                f"{checkpoint}: tensor {name!r} is {list(weights[name].shape)}, "
                f"its config.json asks for {list(shape)}"
            )
    return Llama(config, {n: library.array(w) for n, w in weights.items()}, library)


def linear_weights(config: LlamaConfig) -> list[str]:
    """Names of the weight matrices that quantisation replaces, in the order of the layers.

    >>> from types import SimpleNamespace
    >>> linear_weights(SimpleNamespace(num_hidden_layers=1))[:2]
    ['model.layers.0.self_attn.q_proj.weight', 'model.layers.0.self_attn.k_proj.weight']
    """
    layers = range(config.num_hidden_layers)
    return [f"model.layers.{i}.{part}.weight" for i in layers for part in LINEARS]


def _expected(config: LlamaConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of what the forward pass computes with, as config.json tells them."""
    hidden = config.hidden_size
    yield "model.embed_tokens.weight", (config.vocab_size, hidden)
    yield "model.norm.weight", (hidden,)
    for i in range(config.num_hidden_layers):
        for name, shape in _of_layer(config):
            yield f"model.layers.{i}.{name}", shape
    if not config.tie_word_embeddings:
        yield "lm_head.weight", (config.vocab_size, hidden)


def _of_layer(config: LlamaConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, inner, head = config.hidden_size, config.intermediate_size, config.head_dim
    queries, keys = config.num_attention_heads * head, config.num_key_value_heads * head
    yield "input_layernorm.weight", (hidden,)
    yield "post_attention_layernorm.weight", (hidden,)
    attention = ((queries, hidden), (keys, hidden), (keys, hidden), (hidden, queries))
    feed_forward = ((inner, hidden), (inner, hidden), (hidden, inner))
    for name, shape in zip(LINEARS, (*attention, *feed_forward), strict=True):
        yield f"{name}.weight", shape
        if name in config.biased:
            yield f"{name}.bias", shape[:1]
    if config.qk_norm:
        yield "self_attn.q_norm.weight", (head,)
        yield "self_attn.k_norm.weight", (head,)
