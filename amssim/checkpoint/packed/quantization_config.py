"""The ``quantization_config`` that config.json gains, and whether it agrees with the files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import amssim
from amssim.checkpoint.packed.manifest import Manifest
from amssim.checkpoint.safetensors.config import METHOD, quantization
from amssim.errors import MismatchError
from amssim.scheme import Scheme

PACKED_FORMAT = "ams-packed"


def describe(manifests: Iterable[Manifest]) -> dict:
    """Return the block for config.json: which schemes occur and how each is defined.

    Loaders that do not know the method ``ams`` refuse the checkpoint by that name.
    """
    packings = [p for manifest in manifests for p in manifest.packed.values()]
    schemes = sorted({p.scheme for p in packings})
    return {
        "quant_method": METHOD,
        "format": PACKED_FORMAT,
        "version": amssim.__version__,
        "schemes": {s.name: _fields(s) for s in schemes},
    }


def check_config(config: dict, manifests: Iterable[Manifest], path: Path) -> None:
    """Raise `MismatchError` if config.json describes other schemes than the files hold."""
    stated = quantization(config)
    if stated is None:
        raise MismatchError(f"{path}: config.json has no quantization_config, the tensors have")
    actual = describe(manifests)
    for key in ("quant_method", "format", "schemes"):
        if stated.get(key) != actual[key]:
            raise MismatchError(
                f"{path}: config.json and the tensors disagree in {key}: "
                f"{stated.get(key)!r} and {actual[key]!r}"
            )


def _fields(scheme: Scheme) -> dict:
    element = scheme.minifloat
    return {
        "exponent_bits": element.exponent_bits,
        "mantissa_bits": element.mantissa_bits,
        "bias": element.bias,
        "k": scheme.k,
    }
