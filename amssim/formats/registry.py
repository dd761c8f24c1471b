"""Comparison formats by name."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from amssim.errors import SchemeError
from amssim.formats.ams.ams import Ams
from amssim.formats.ams.gptq import GptqAms, GptqInteger
from amssim.formats.base import Format
from amssim.formats.rivals.db_llm import DbLlm
from amssim.formats.rivals.fineq import FineQ
from amssim.formats.rivals.integer import AsymmetricInteger, Integer
from amssim.formats.rivals.microscaling import Microscaling
from amssim.formats.rivals.normal_float import LearnedNormalFloat, NormalFloat
from amssim.formats.rivals.nvfp4 import Nvfp4
from amssim.formats.rivals.omniquant import OmniQuant
from amssim.formats.rivals.opal import Opal
from amssim.formats.rivals.razer import Razer
from amssim.formats.rivals.signround import SignRound
from amssim.formats.rivals.slim_llm import SlimLlm
from amssim.formats.rivals.solo import Solo
from amssim.formats.rivals.squeezellm import SqueezeLlm
from amssim.scheme import Scheme, scheme, schemes

_MX_OFFSETS = (0, -1, 1)
_NV_FACTORS = (1.0, *(f / 100 for f in range(50, 152) if f != 100))

_FORMATS: dict[str, tuple[type[Format], dict[str, Any]]] = {
    "int4": (Integer, {"bits": 4}),
    "int5": (Integer, {"bits": 5}),
    "int4-asym": (AsymmetricInteger, {"bits": 4}),
    "int5-asym": (AsymmetricInteger, {"bits": 5}),
    "nf4": (NormalFloat, {"bits": 4}),
    "nf5": (NormalFloat, {"bits": 5}),
    "nfl4": (LearnedNormalFloat, {"bits": 4}),
    "nfl5": (LearnedNormalFloat, {"bits": 5}),
    "mxfp4": (Microscaling, {"element": "e2m1"}),
    "mxfp4-searched": (Microscaling, {"element": "e2m1", "offsets": _MX_OFFSETS}),
    "mxfp6-e2m3": (Microscaling, {"element": "e2m3"}),
    "mxfp6-e3m2": (Microscaling, {"element": "e3m2"}),
    "nvfp4": (Nvfp4, {}),
    "nvfp4-searched": (Nvfp4, {"factors": _NV_FACTORS}),
    "razer": (Razer, {}),
    "squeezellm4": (SqueezeLlm, {"bits": 4}),
    "squeezellm4-sparse": (SqueezeLlm, {"bits": 4, "outliers": 0.0045}),
    "squeezellm5": (SqueezeLlm, {"bits": 5}),
    "omniquant4": (OmniQuant, {"bits": 4, "scale_block": 128}),
    "omniquant5": (OmniQuant, {"bits": 5, "scale_block": 128}),
    "signround4": (SignRound, {"bits": 4}),
    "signround5": (SignRound, {"bits": 5}),
    "slim-llm4": (SlimLlm, {"bits": 4}),
    "slim-llm5": (SlimLlm, {"bits": 5}),
    "db-llm2": (DbLlm, {"planes": 2}),
    "db-llm4": (DbLlm, {"planes": 4, "scale_block": 256}),
    "db-llm5": (DbLlm, {"planes": 5, "scale_block": 256}),
    "fineq2": (FineQ, {"bits": 2}),
    "fineq4": (FineQ, {"bits": 4}),
    "opal4": (Opal, {"bits": 4}),
    "opal5": (Opal, {"bits": 5}),
    "solo4": (Solo, {"bits": 4}),
    "solo5": (Solo, {"bits": 5}),
    "gptq-fp5.33": (GptqAms, {"scheme": "fp5.33"}),
    "gptq-fp4.25": (GptqAms, {"scheme": "fp4.25"}),
    "gptq-int4": (GptqInteger, {"bits": 4}),
    "gptq-int5": (GptqInteger, {"bits": 5}),
}

_SCALE_BLOCK = re.compile(r"(?P<name>.+)-g(?P<scale_block>\d+)")


def format_names() -> tuple[str, ...]:
    """Return the names that `find_format` knows: the AMS presets, then the formats beside them.

    >>> "fp5.33-e2m3" in format_names() and "nf4" in format_names()
    True
    """
    return (*(s.name for s in schemes()), *_FORMATS)


def find_format(name: str, **parameters: Any) -> Format:
    """Return a format.

    Args:
        name: one of `format_names`, or any AMS scheme as `amssim.scheme` spells it. ``-g`` and a
            number at the end set ``scale_block``, the columns that share a scale.
        parameters: fields of the format's class, in place of its defaults.

    Raises:
        SchemeError: an unknown name, or a parameter that the format lacks or refuses.

    >>> find_format("nf4").name, find_format("int4-g32").name
    ('nf4-g64', 'int4-g32')
    >>> find_format("fp4.25", scale="mse").name
    'fp4.25-e2m2 mse'
    """
    if not isinstance(name, str):
        raise SchemeError(f"a format's name is text such as 'nf4', found {name!r}")
    key = name.strip().lower()
    blocked = None if key in _FORMATS else _SCALE_BLOCK.fullmatch(key)
    if blocked:
        key = blocked["name"]
    if key in _FORMATS:
        kind, defaults = _FORMATS[key]
    else:
        kind, defaults = Ams, {"scheme": _scheme(name, key)}
    if blocked:
        parameters = {"scale_block": int(blocked["scale_block"])} | parameters
    return _build(name, kind, defaults | parameters)


def _scheme(name: str, key: str) -> Scheme:
    try:
        return scheme(key)
    except SchemeError as error:
        listed = ", ".join(_FORMATS)
        message = f"unknown format {name!r}: choose one of {listed}, or a scheme ({error})"
        raise SchemeError(message) from None


def _build(name: str, kind: type[Format], parameters: dict[str, Any]) -> Format:
    own = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # all are dataclasses
    unknown = sorted(set(parameters) - set(own))
    if unknown:
        raise SchemeError(f"format {name!r} has no {unknown[0]}: it has {', '.join(own)}")
    return kind(**parameters)
