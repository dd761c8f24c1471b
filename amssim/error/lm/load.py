"""A language model from a checkpoint directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from amssim.error.lm.backend import Backend, backend
from amssim.error.lm.config import LlamaConfig
from amssim.error.lm.llama import LINEARS, Llama
from amssim.error.tensors import Tensors
from amssim.errors import FormatError


def load_model(checkpoint: str | Path, library: Backend | None = None) -> Llama:
    """Read a Llama-architecture checkpoint into float32 arrays of ``library`` (numpy if None).

    Raises:
        FormatError: a tensor that the configuration asks for is missing or of another shape.
        UnsupportedError: another architecture.
    """
    library = library or backend()
    config = LlamaConfig.read(Path(checkpoint))
    tensors = Tensors(checkpoint)
    missing = [name for name, _ in _expected(config) if name not in tensors]
    if missing:
        raise FormatError(
            f"{checkpoint} has no tensor {missing[0]!r}, which its config.json asks for"
        )
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
    """Names and shapes of what the forward pass multiplies with, where config.json tells them."""
    hidden, head = config.hidden_size, config.head_dim
    queries, keys = config.num_attention_heads * head, config.num_key_value_heads * head
    yield "model.embed_tokens.weight", (config.vocab_size, hidden)
    yield "model.norm.weight", (hidden,)
    for i in range(config.num_hidden_layers):
        layer = f"model.layers.{i}"
        yield f"{layer}.input_layernorm.weight", (hidden,)
        yield f"{layer}.post_attention_layernorm.weight", (hidden,)
        sizes = (queries, keys, keys)
        for part, out in zip("qkv", sizes, strict=True):
            yield f"{layer}.self_attn.{part}_proj.weight", (out, hidden)
        yield f"{layer}.self_attn.o_proj.weight", (hidden, queries)
        for part in ("gate", "up"):
            yield f"{layer}.mlp.{part}_proj.weight", (config.intermediate_size, hidden)
        yield f"{layer}.mlp.down_proj.weight", (hidden, config.intermediate_size)
    if not config.tie_word_embeddings:
        yield "lm_head.weight", (config.vocab_size, hidden)
