"""What config.json says of how a checkpoint is quantised, by amssim or by anything else.

Loaders find it there without opening a file of weights. It repeats what the manifests say, and is
enough to read packed tensors in files that have none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from amssim import __version__
from amssim.checkpoint.packed.stored import LogicalTensor, Packing
from amssim.checkpoint.safetensors.strict_json import canonical_json
from amssim.errors import MismatchError
from amssim.scheme import Scheme

#: The ``quant_method`` of config.json: loaders that do not know it refuse the checkpoint by it.
METHOD = "ams"
PACKED_FORMAT = "ams-packed"

_CONFIG_KEY = "quantization_config"
# transformers reads the name of the file with the weights here, and refuses one that is no
# safetensors file with a sentence that shows it. Without our quantizer, which takes the key away,
# it would go on with random weights in every packed layer.
NAME_OF_WEIGHTS = "transformers_weights"
GUARD = "packed by amssim: pip install -U 'amssim[transformers]' and import amssim.torch first"
# Where loaders look for it, in their order.
_CONFIG_PLACES = ((_CONFIG_KEY,), ("text_config", _CONFIG_KEY), ("compression_config",))
# Written from the second format on.
_NEWER_KEYS = ("default", "exceptions")
# Characters of a value in a message.
_SHOWN = 200


def quantization(config: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what config.json says about quantisation by any method, None for plain floats."""
    for place in _CONFIG_PLACES:
        stated: Any = config
        for key in place:
            stated = stated.get(key) if isinstance(stated, dict) else None
        if stated is not None:
            return stated if isinstance(stated, dict) else {"quant_method": repr(stated)}
    return None


def with_quantization(
    config: dict[str, Any] | None, tensors: Iterable[LogicalTensor], version: str | None = None
) -> dict[str, Any] | None:
    """Return config.json of a checkpoint that ``version`` (this one) quantised; None stays None."""
    if config is None:
        return None
    described = {_CONFIG_KEY: _describe(tensors, version or __version__)}
    return {NAME_OF_WEIGHTS: GUARD} | config | described


def without_quantization(config: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return config.json of a checkpoint that is plain again."""
    if config is None:
        return None
    ours = {_CONFIG_KEY, *([NAME_OF_WEIGHTS] if is_guarded(config) else [])}
    return {key: value for key, value in config.items() if key not in ours}


def is_guarded(config: Mapping[str, Any]) -> bool:
    """Whether config.json stops loaders that would go on without the packed weights."""
    return config.get(NAME_OF_WEIGHTS) == GUARD


def check_config(
    config: dict[str, Any], tensors: Iterable[LogicalTensor], versions: set[str], path: Path
) -> None:
    """Raise `MismatchError` if config.json says other things than the files of ``path`` hold.

    ``versions`` are those of amssim that wrote the files.
    """
    stated = quantization(config)
    if stated is None:
        raise MismatchError(f"{path}: config.json has no quantization_config, the tensors have")
    version = stated.get("version")
    known = version if isinstance(version, str) and version in versions else min(versions)
    actual = _describe(tensors, known)
    if not stated.keys() & set(_NEWER_KEYS):  # as the first format has it
        actual = {key: value for key, value in actual.items() if key not in _NEWER_KEYS}
    difference = json_difference(stated, actual)
    if difference:
        place, found, expected = difference
        raise MismatchError(
            f"{path}: config.json and the tensors disagree in {place}: {found} and {expected}"
        )


def json_difference(stated: object, actual: object) -> tuple[str, str, str] | None:
    """Where two values of JSON differ first, and as what; None if they are the same."""
    if not isinstance(stated, dict) or not isinstance(actual, dict):
        # Compared as text, in which 3 is not 3.0 and true is not 1.
        found, expected = (json.dumps(value, sort_keys=True) for value in (stated, actual))
        return ("", _short(found), _short(expected)) if found != expected else None
    for key in sorted(stated.keys() | actual.keys()):
        if key not in stated or key not in actual:
            found, expected = (
                _short(json.dumps(value[key])) if key in value else "nothing"
                for value in (stated, actual)
            )
            return key, found, expected
        inner = json_difference(stated[key], actual[key])
        if inner:
            place, found, expected = inner
            return f"{key}, {place}" if place else key, found, expected
    return None


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _describe(tensors: Iterable[LogicalTensor], version: str) -> dict[str, Any]:
    """Which schemes occur, how each is defined, and which tensor has which.

    The default is what most packed tensors have. Exceptions are the packed ones that have another,
    and null for those that could be packed and are not: of two or three dimensions.
    """
    tensors = list(tensors)
    forms = {t.name: _form(t.packing) for t in tensors if t.packing}
    counts = Counter(map(canonical_json, forms.values()))
    usual = min(counts, key=lambda text: (-counts[text], text), default=None)
    default = next((form for form in forms.values() if canonical_json(form) == usual), None)
    exceptions: dict[str, Any] = {name: form for name, form in forms.items() if form != default}
    exceptions |= {t.name: None for t in tensors if not t.packing and len(t.shape) in (2, 3)}
    schemes = sorted({t.packing.scheme for t in tensors if t.packing})
    return {
        "quant_method": METHOD,
        "format": PACKED_FORMAT,
        "version": version,
        "schemes": {scheme.name: definition(scheme) for scheme in schemes},
        "default": default,
        "exceptions": dict(sorted(exceptions.items())),
    }


def _form(packing: Packing) -> dict[str, Any]:
    return {"scheme": packing.scheme.name, "scale_block": packing.scale_block}


def definition(scheme: Scheme) -> dict[str, int]:
    """Return what config.json says of a scheme."""
    element = scheme.minifloat
    return {
        "exponent_bits": element.exponent_bits,
        "mantissa_bits": element.mantissa_bits,
        "bias": element.bias,
        "k": scheme.k,
    }
