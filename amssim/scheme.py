"""Schemes: a minifloat plus the number of neighbours that share its mantissa's last bit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from numbers import Integral, Rational

from amssim.errors import SchemeError
from amssim.minifloat import Minifloat

Number = float | Rational
GROUP_SIZES = range(1, 65)
# A spelled number stands for every payload this near: 5.33 for 16/3, 5.12 and 5.13 for 41/8.
SPELLING_TOLERANCE = Fraction(5001, 1_000_000)


@dataclass(frozen=True, order=True)
class Scheme:
    """An AMS number format: groups of ``k`` weights of one row share their codes' last bit.

    A code's other bits are its *top bits*. Source: AMS-Quant, arXiv 2510.16045; the choices the
    paper leaves open are fixed in docs/FORMAT.md.

    Args:
        minifloat: the format of a single weight.
        k: weights that share one bit, 1 to 64; 1 is the plain minifloat.

    Raises:
        SchemeError: k outside that range.

    >>> s = Scheme(Minifloat(2, 3), 3)
    >>> s.name, s.bits, s.top_bits
    ('fp5.33-e2m3', Fraction(16, 3), 5)
    """

    minifloat: Minifloat
    k: int

    def __post_init__(self) -> None:
        if not isinstance(self.k, Integral) or self.k not in GROUP_SIZES:
            raise SchemeError(f"no scheme with k={self.k!r}: a group has 1 to 64 weights")

    @property
    def top_bits(self) -> int:
        """Bits of a code without its last one, x + y."""
        return self.minifloat.bits - 1

    @property
    def bits(self) -> Fraction:
        """Payload bits per weight, x + y + 1/k, exactly."""
        return self.top_bits + Fraction(1, self.k)

    @property
    def name(self) -> str:
        """The one name that files and tables use; `scheme` reads it back."""
        if self in _PRESETS or self.k == 1:
            return f"fp{_spell(self.bits)}-{self.minifloat.name}"
        return f"ams-{self.minifloat.name}-k{self.k}"

    def __str__(self) -> str:
        return self.name


def _spell(bits: Fraction) -> str:
    """Write bits as tables do: exactly if three decimals suffice, else rounded to two."""
    exact = (bits * 1000).denominator == 1
    return f"{float(bits):.3f}".rstrip("0").rstrip(".") if exact else f"{float(bits):.2f}"


def _presets() -> tuple[Scheme, ...]:
    shared = [(e2, k) for e2 in ((2, 3), (2, 2), (2, 1)) for k in (1, 2, 3, 4, 8)]
    shared += [((3, 2), k) for k in (1, 2, 3, 4)]
    presets = [Scheme(Minifloat(*widths), k) for widths, k in shared]
    return tuple(sorted(presets, key=lambda s: (-s.bits, s.minifloat)))


_PRESETS = _presets()
FP5_33 = Scheme(Minifloat(2, 3), 3)
FP4_25 = Scheme(Minifloat(2, 2), 4)
# The paper's own formats keep their short names even where another preset has the same bits.
PUBLISHED = (FP5_33, FP4_25)

_NAME = re.compile(
    r"(?:ams-e(?P<ax>\d)m(?P<ay>\d)-k(?P<k>\d{1,9}))"
    r"|(?:fp(?P<bits>\d{1,9}(?:\.\d{1,99})?)(?:-e(?P<x>\d)m(?P<y>\d))?)"
)


def schemes() -> tuple[Scheme, ...]:
    """Return the preset schemes, most bits first.

    >>> [s.name for s in schemes()][:3]
    ['fp6-e2m3', 'fp6-e3m2', 'fp5.5-e2m3']
    """
    return _PRESETS


def scheme(spec: str | Scheme | Number | None = None, *, bits: Number | None = None) -> Scheme:
    """Find a scheme by name or by its bits per weight.

    Args:
        spec: a `Scheme` (returned as it is); a name in any case, one of ``fp5.33``,
            ``fp5.33-e2m3`` or ``ams-e2m3-k3``; or a number, which means ``bits``.
        bits: payload bits per weight, to two decimals or exactly. The two published formats,
            5.33 and 4.25, own their number; another number must belong to one preset only.

    Raises:
        SchemeError: nothing or several schemes have that name; the message lists candidates.

    >>> scheme("FP5.33") == scheme(bits=5.33) == scheme("ams-e2m3-k3") == FP5_33
    True
    >>> scheme(bits=6)
    Traceback (most recent call last):
    amssim.errors.SchemeError: 6 bits is ambiguous: choose one of fp6-e2m3, fp6-e3m2
    """
    if spec is None and bits is not None:
        return _by_bits(bits)
    if spec is None or bits is not None:
        raise SchemeError("scheme() takes either a name or bits=..., such as scheme('fp5.33')")
    if isinstance(spec, Scheme):
        return spec
    return _by_name(spec) if isinstance(spec, str) else _by_bits(spec)


@lru_cache(maxsize=256)  # every tensor of a file names its scheme
def _by_name(name: str) -> Scheme:
    parts = _NAME.fullmatch(name.strip().lower())
    if parts is None:
        raise SchemeError(f"unknown scheme {name!r}: {_choices()}")
    if parts["k"]:
        return Scheme(Minifloat(int(parts["ax"]), int(parts["ay"])), int(parts["k"]))
    bits = Fraction(parts["bits"])
    if not parts["x"]:
        return _by_bits(bits)
    element = Minifloat(int(parts["x"]), int(parts["y"]))
    every_k = [Scheme(element, k) for k in GROUP_SIZES]
    matches = [s for s in every_k if _is_spelling(bits, s)]
    in_presets = [s for s in matches if s in _PRESETS]
    return _single(repr(name), in_presets or matches)


def _by_bits(bits: Number) -> Scheme:
    try:
        exact = Fraction(bits if isinstance(bits, str | Rational) else float(bits))
        float(exact)
    except (TypeError, ValueError, OverflowError):
        raise SchemeError(
            f"bits per weight must be a finite number, found {bits!r}: {_choices()}"
        ) from None
    matches = [s for s in _PRESETS if _is_spelling(exact, s)]
    published = [s for s in matches if s in PUBLISHED]
    return _single(f"{_spell(exact)} bits", published or matches)


def _is_spelling(number: Fraction, candidate: Scheme) -> bool:
    return abs(number - candidate.bits) <= SPELLING_TOLERANCE


def _single(what: str, matches: list[Scheme]) -> Scheme:
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(s.name for s in matches)
        raise SchemeError(f"{what} is ambiguous: choose one of {names}")
    raise SchemeError(f"no scheme matches {what}: {_choices()}")


def _choices() -> str:
    names = ", ".join(s.name for s in _PRESETS)
    return f"choose one of {names}, or spell any other as ams-e2m3-k3"
