"""Language models as the shapes of their linear layers, from a Hugging Face ``config.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from amssim.errors import FormatError, InputError, UnsupportedError

_PRESETS = Path(__file__).parent / "models"
#: Names of the sizes in a config, and of those that may be absent or null.
_REQUIRED = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "intermediate": "intermediate_size",
    "heads": "num_attention_heads",
    "vocabulary": "vocab_size",
}
_OPTIONAL = {"kv_heads": "num_key_value_heads", "head_size": "head_dim"}
_MOST = 2**24
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True)
class Model:
    """What a decode step needs to know of a dense decoder with gated MLPs.

    >>> model_of("llama-3.1-8b").linears["gate_up"]
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


def model_of(name: str | Path | Model) -> Model:
    """Return a model by preset name, or from a ``config.json`` or the directory that holds one.

    Raises:
        InputError: no such preset or file.
        FormatError: a config without one of the sizes, or with a nonsensical one.
        UnsupportedError: a mixture of experts.
    """
    if isinstance(name, Model):
        return name
    if not isinstance(name, str | Path):
        raise InputError(f"a model is a preset's name, a path or a Model, found {name!r}")
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
    if isinstance(config, dict):
        config = config.get("text_config", config)
    if not isinstance(config, dict):
        raise FormatError(f"{path}: a config is a JSON object, found {type(config).__name__}")
    for key in _EXPERTS:
        if config.get(key):
            raise UnsupportedError(
                f"{path}: {key} is {config[key]}; mixtures of experts are not modelled"
            )
    missing = [key for key in _REQUIRED.values() if key not in config]
    if missing:
        raise FormatError(
            f"{path} has no {', '.join(missing)}; a decoder's config.json states "
            f"{', '.join(_REQUIRED.values())}"
        )
    names = _REQUIRED | {k: v for k, v in _OPTIONAL.items() if config.get(v) is not None}
    sizes = {field: _size(config, key, path) for field, key in names.items()}
    sizes.setdefault("kv_heads", sizes["heads"])
    _check_divides(path, "num_attention_heads", sizes["heads"], "kv heads", sizes["kv_heads"])
    if "head_size" not in sizes:
        _check_divides(path, "hidden_size", sizes["hidden"], "heads", sizes["heads"])
        sizes["head_size"] = sizes["hidden"] // sizes["heads"]
    name = path.parent.name if path.name == "config.json" else path.stem
    return Model(name, **sizes)


def _size(config: dict[str, Any], key: str, path: Path) -> int:
    value = config[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < _MOST:
        raise FormatError(
            f"{path}: {key} is {value!r}, expected a whole number from 1 to {_MOST - 1}"
        )
    return value


def _check_divides(path: Path, key: str, size: int, what: str, parts: int) -> None:
    if size % parts:
        raise FormatError(f"{path}: {key} is {size}, expected a multiple of the {parts} {what}")
