"""``config.json``: data, never code; what it says about quantisation."""

from __future__ import annotations

import json
from pathlib import Path

from amssim.checkpoint.safetensors.files import read_whole
from amssim.checkpoint.safetensors.strict_json import parse_json
from amssim.errors import FormatError

CONFIG_NAME = "config.json"
QUANTIZATION = "quantization_config"
METHOD = "ams"

# Where loaders look for it, in their order.
_PLACES = ((QUANTIZATION,), ("text_config", QUANTIZATION), ("compression_config",))


def read_config(directory: Path) -> dict | None:
    """Return the parsed config.json of a checkpoint directory, None where there is none."""
    path = directory / CONFIG_NAME
    if not path.exists():
        return None
    config = parse_json(read_whole(path), str(path), constants=True)
    if not isinstance(config, dict):
        raise FormatError(f"{path} must hold a JSON object")
    return config


def encode_config(config: dict) -> bytes:
    """Return config.json, its keys in their order."""
    return (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()


def quantization(config: dict | None) -> dict | None:
    """Return what the config says about quantisation, None for a float checkpoint."""
    for place in _PLACES:
        found = config
        for key in place:
            found = found.get(key) if isinstance(found, dict) else None
        if found is not None:
            return found if isinstance(found, dict) else {"quant_method": repr(found)}
    return None


def with_quantization(config: dict | None, block: dict) -> dict | None:
    """Return the config of a quantised checkpoint; None stays None."""
    return None if config is None else config | {QUANTIZATION: block}


def without_quantization(config: dict | None) -> dict | None:
    """Return the config of a checkpoint that is plain again."""
    if config is None:
        return None
    return {key: value for key, value in config.items() if key != QUANTIZATION}
