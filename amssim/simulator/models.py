"""Language models as the shapes of their linear layers, from a Hugging Face ``config.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from amssim.errors import FormatError, InputError, UnsupportedError

_PRESETS = Path(__file__).parent / "models"
_REQUIRED = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "vocab_size",
)
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True)
class Model:
    """What a decode step needs to know of a dense decoder with gated MLPs.

    >>> model("llama-3.1-8b").linears["gate_up"]
    (28672, 4096)
    """

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """(rows, columns) of one layer's products; q, k, v and gate, up run as one each."""
        return {
            "qkv": ((self.heads + 2 * self.kv_heads) * self.head_size, self.hidden),
            "o": (self.hidden, self.heads * self.head_size),
            "gate_up": (2 * self.intermediate, self.hidden),
            "down": (self.hidden, self.intermediate),
        }

    @property
    def head(self) -> tuple[int, int]:
        """(rows, columns) of the product that gives the logits."""
        return self.vocabulary, self.hidden

    def kv_bytes(self, batch: int, context: int, bits: float) -> float:
        """Bytes of keys and values that one layer reads in a step."""
        return 2 * batch * context * self.kv_heads * self.head_size * bits / 8


@cache
def models() -> tuple[str, ...]:
    """Return the names of the preset models.

    >>> models()[0]
    'llama-3.1-70b'
    """
    return tuple(sorted(path.stem for path in _PRESETS.glob("*.json")))


def model(name: str | Path | Model) -> Model:
    """Return a model by preset name, or from a ``config.json`` or the directory that holds one.

    Raises:
        InputError: no such preset or file.
        FormatError: a config without one of the sizes, or with a nonsensical one.
        UnsupportedError: a mixture of experts.
    """
    if isinstance(name, Model):
        return name
    if isinstance(name, str) and name.lower() in models():
        path = _PRESETS / f"{name.lower()}.json"
    else:
        path = Path(name)
        path = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(path.read_text())
    except OSError:
        raise InputError(
            f"unknown model {str(name)!r}: choose one of {', '.join(models())}, "
            f"or give the path of a config.json"
        ) from None
    except ValueError as error:
        raise FormatError(f"{path} is not JSON: {error}") from None
    return _from_config(config, path)


def _from_config(config: object, path: Path) -> Model:
    if not isinstance(config, dict):
        raise FormatError(f"{path}: a config is a JSON object, found {type(config).__name__}")
    config = config.get("text_config", config)
    for key in _EXPERTS:
        if config.get(key):
            raise UnsupportedError(
                f"{path}: {key} is {config[key]}; mixtures of experts are not modelled"
            )
    missing = [key for key in _REQUIRED if key not in config]
    if missing:
        raise FormatError(f"{path} has no {', '.join(missing)}: not a decoder's config.json")
    heads = config["num_attention_heads"]
    sizes = {
        "layers": config["num_hidden_layers"],
        "hidden": config["hidden_size"],
        "intermediate": config["intermediate_size"],
        "heads": heads,
        "kv_heads": config.get("num_key_value_heads") or heads,
        "head_size": config.get("head_dim") or config["hidden_size"] // max(1, heads),
        "vocabulary": config["vocab_size"],
    }
    for key, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**24:
            raise FormatError(f"{path}: {key} is {value!r}, expected a whole number of at least 1")
    name = path.parent.name if path.name == "config.json" else path.stem
    return Model(name, **sizes)
