"""What a decoding step is measured with: weights, type of activations, and how it is run."""

from __future__ import annotations

from dataclasses import dataclass

from amssim.errors import InputError
from amssim.scheme import Scheme
from amssim.scheme import scheme as find_scheme

FLOAT_TYPES = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}
_WORDS = ("fused", "compiled", "early", "head", "sdpa", "attend")


@dataclass(frozen=True)
class DecodeVariant:
    """One way to run a model.

    Attributes:
        name: its words, joined by "+".
        scheme: of the linear layers; None for floats.
        dtype: of activations and of all that is not packed.
        fused: q, k, v and gate, up are one product each.
        compiled: by PyTorch's compiler.
        early: compiled kernels begin before the one ahead of them ends, see `early`.
        head: the output head is packed too, by the same scheme.
        sdpa: attention as transformers has it, which copies keys and values for each head.
        attend: attention in one launch of amssim's own; else PyTorch's, with shared keys.
    """

    name: str
    scheme: Scheme | None
    dtype: str
    fused: bool = False
    compiled: bool = False
    early: bool = False
    head: bool = False
    sdpa: bool = False
    attend: bool = False

    @classmethod
    def parse(cls, name: str) -> DecodeVariant:
        """Return the variant of a name such as ``fp4.25+bf16+fused+compiled``.

        Raises:
            InputError: an unknown word.
            SchemeError: an unknown scheme.

        >>> DecodeVariant.parse("fp4.25+fused").dtype
        'float16'
        """
        first, *words = name.split("+")
        scheme = None if first in FLOAT_TYPES else find_scheme(first)
        dtypes = [FLOAT_TYPES[word] for word in (first, *words) if word in FLOAT_TYPES]
        unknown = [word for word in words if word not in (*FLOAT_TYPES, *_WORDS)]
        if unknown or len(dtypes) > 1 or (scheme is None and "head" in words):
            raise InputError(
                f"variant {name!r}: expected fp16, bf16, fp32 or a scheme, and then words of "
                f"{', '.join([*FLOAT_TYPES, *_WORDS])}, joined by +; a type once, head for schemes"
            )
        said = {word: word in words for word in _WORDS}
        return cls(name, scheme, (dtypes or ["float16"])[0], **said)

    @property
    def bits(self) -> float | None:
        """Bits of a weight in the linear layers as the predictor takes them."""
        return float(self.scheme.bits) if self.scheme else None
