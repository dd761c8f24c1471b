"""A checkpoint of a Llama-like model with random BF16 weights, of any size and number of shards."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TypeAlias

import ml_dtypes
import numpy as np

from amssim.checkpoint.safetensors.header import TensorSpec
from amssim.checkpoint.safetensors.shards import CONFIG_NAME, INDEX_NAME, Index, encode_config
from amssim.checkpoint.safetensors.writer import header_bytes, place, plain_metadata
from amssim.errors import InputError

#: NamedShapes of tensors by name.
NamedShapes: TypeAlias = "dict[str, tuple[int, ...]]"

_DEVIATION = 0.02
_HEAD_SIZE = 64
_HEADS_PER_KEY = 4


@dataclass(frozen=True)
class SyntheticModel:
    """Sizes of a model; those given make 0.81 GB in BF16.

    >>> f"{SyntheticModel().nbytes / 1e9:.2f} GB, {SyntheticModel.near(3e9).layers} layers"
    '0.81 GB, 32 layers'
    """

    layers: int = 8
    hidden: int = 2048
    intermediate: int = 5632
    vocabulary: int = 20480

    @classmethod
    def near(cls, nbytes: float) -> SyntheticModel:
        """Return the model of these sizes whose number of layers comes nearest to ``nbytes``."""
        fixed, layer = cls(layers=0).nbytes, cls(layers=1).nbytes - cls(layers=0).nbytes
        return cls(layers=max(1, round((nbytes - fixed) / layer)))

    @property
    def weight_count(self) -> int:
        """Number of weights."""
        layer = sum(map(prod, self._layer("").values()))
        return self.vocabulary * self.hidden + self.layers * layer + self.hidden

    @property
    def nbytes(self) -> int:
        """Bytes of the weights in BF16."""
        return 2 * self.weight_count

    def parts(self) -> list[NamedShapes]:
        """Return shapes by name: the embedding, each layer, the last norm."""
        embedding: NamedShapes = {"model.embed_tokens.weight": (self.vocabulary, self.hidden)}
        layers = [self._layer(f"model.layers.{i}.") for i in range(self.layers)]
        return [embedding, *layers, {"model.norm.weight": (self.hidden,)}]

    def config(self) -> dict[str, object]:
        """Return config.json."""
        heads = max(1, self.hidden // _HEAD_SIZE)
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "dtype": "bfloat16",
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": heads,
            "num_key_value_heads": max(1, heads // _HEADS_PER_KEY),
            "vocab_size": self.vocabulary,
            "tie_word_embeddings": True,
        }

    def _layer(self, name: str) -> NamedShapes:
        hidden, wide, keys = self.hidden, self.intermediate, self.hidden // _HEADS_PER_KEY
        attention = {"q": (hidden, hidden), "k": (keys, hidden), "v": (keys, hidden)}
        attention["o"] = (hidden, hidden)
        mlp = {"gate": (wide, hidden), "up": (wide, hidden), "down": (hidden, wide)}
        shapes: NamedShapes = {}
        shapes |= {f"{name}self_attn.{k}_proj.weight": shape for k, shape in attention.items()}
        shapes |= {f"{name}mlp.{k}_proj.weight": shape for k, shape in mlp.items()}
        norms = ("input_layernorm", "post_attention_layernorm")
        return shapes | {f"{name}{norm}.weight": (hidden,) for norm in norms}


#: A model whose work takes no time, so that what remains is starting.
TINY = SyntheticModel(layers=2, hidden=64, intermediate=96, vocabulary=128)


def write_model(folder: Path, model: SyntheticModel, *, shards: int = 4, seed: int = 0) -> int:
    """Write the model's shards, index, config.json and a tokenizer.json into the new ``folder``.

    The same arguments give the same bytes. Weights are normal with deviation 0.02; none is zero.

    Returns:
        Bytes of all files.

    Raises:
        InputError: fewer than 1 shard, or more shards than layers.
    """
    if not 1 <= shards <= model.layers:
        raise InputError(f"{shards} shards of {model.layers} layers: expected 1 to {model.layers}")
    folder.mkdir()
    rng = np.random.default_rng(seed)
    shard_of: dict[str, str] = {}
    for i, shapes in enumerate(_by_shard(model, shards), 1):
        name = f"model-{i:05}-of-{shards:05}.safetensors"
        _write_shard(folder / name, shapes, rng)
        shard_of |= dict.fromkeys(shapes, name)
    index = Index(shard_of, {"total_size": model.nbytes})
    (folder / INDEX_NAME).write_bytes(index.encode())
    (folder / CONFIG_NAME).write_bytes(encode_config(model.config()))
    (folder / "tokenizer.json").write_bytes(b'{"version": "1.0"}\n')
    return sum(path.stat().st_size for path in folder.iterdir())


def _by_shard(model: SyntheticModel, shards: int) -> list[NamedShapes]:
    """Layers in order and evenly; the embedding in the first shard, the last norm in the last."""
    embedding, *layers, norm = model.parts()
    shapes: list[NamedShapes] = [{} for _ in range(shards)]
    for i, layer in enumerate(layers):
        shapes[i * shards // len(layers)] |= layer
    shapes[0] |= embedding
    shapes[-1] |= norm
    return shapes


def _write_shard(path: Path, shapes: NamedShapes, rng: np.random.Generator) -> None:
    tensors = place([TensorSpec(name, "BF16", shape) for name, shape in shapes.items()])
    with path.open("xb") as file:
        file.write(header_bytes(tensors, plain_metadata({})))
        for info in tensors:
            normals = rng.standard_normal(info.shape, np.float32) * np.float32(_DEVIATION)
            file.write(normals.astype(ml_dtypes.bfloat16).tobytes())
