"""Independent judges: other people's minifloats, and exhaustive search in exact arithmetic."""

from fractions import Fraction
from itertools import product

import numpy as np
from gfloat import Domain, FormatInfo, RoundMode, decode_ndarray, encode_ndarray, round_ndarray


def gfloat_format(element) -> FormatInfo:
    """The gfloat description of a minifloat without Inf and NaN."""
    return FormatInfo(
        element.name,
        k=element.bits,
        precision=element.mantissa_bits + 1,
        bias=element.bias,
        is_signed=True,
        domain=Domain.Finite,
        has_nz=True,
        num_high_nans=0,
        has_subnormals=True,
        is_twos_complement=False,
    )


def gfloat_values(element) -> np.ndarray:
    """float64 value of every code."""
    return decode_ndarray(gfloat_format(element), np.arange(2**element.bits))


def gfloat_codes(x, element) -> np.ndarray:
    """Codes of float64 ``x`` rounded to nearest, ties to even, saturating."""
    info = gfloat_format(element)
    rounded = round_ndarray(info, np.asarray(x, np.float64), RoundMode.TiesToEven, sat=True)
    return encode_ndarray(info, rounded).astype(np.uint8)


def best_group(x, scheme) -> tuple[Fraction, int]:
    """Least exact squared error of a group over both shared bits and all codes, and its bit."""
    values = [Fraction(float(v)) for v in scheme.minifloat.values]

    def error(bit):
        return sum(min((Fraction(float(w)) - v) ** 2 for v in values[bit::2]) for w in x)

    errors = error(0), error(1)
    return min(errors), int(errors[1] < errors[0])


def group_error(x, codes, scheme) -> Fraction:
    """Exact squared error of a group whose codes are ``codes``."""
    values = scheme.minifloat.values[codes]
    return sum(
        (Fraction(float(w)) - Fraction(float(v))) ** 2 for w, v in zip(x, values, strict=True)
    )


def ties(element) -> np.ndarray:
    """float32: every value, every midpoint of neighbours one and two codes apart, and their
    float32 neighbours on both sides."""
    grid = np.unique(element.values.astype(np.float64))
    points = [grid, (grid[1:] + grid[:-1]) / 2, (grid[2:] + grid[:-2]) / 2, [2 * grid[-1]]]
    exact = np.concatenate(points).astype(np.float32)
    below = np.nextafter(exact, np.float32(-np.inf))
    above = np.nextafter(exact, np.float32(np.inf))
    return np.concatenate([exact, below, above])


def bits_by_hand(codes, scheme) -> list[int]:
    """Pack one row of codes with Python integers, written from docs/FORMAT.md section 4 anew."""
    k, t = scheme.k, scheme.minifloat.exponent_bits + scheme.minifloat.mantissa_bits
    groups_per_block = 1 if k > 1 and t * k + 1 == 16 else 16
    block = groups_per_block * k
    codes = [int(c) for c in codes] + [0] * (-len(codes) % block)
    words = []
    for start in range(0, len(codes), block):
        part, stream, bits = codes[start : start + block], 0, 0
        for code in part:
            width = t if k > 1 else t + 1
            stream |= (code >> 1 if k > 1 else code) << bits
            bits += width
        for group in range(groups_per_block if k > 1 else 0):
            stream |= (part[group * k] & 1) << bits
            bits += 1
        words += [(stream >> n) & 0xFFFF for n in range(0, bits, 16)]
    return words


def all_minifloats():
    """Widths of every minifloat of the format's range."""
    return [(x, y) for x, y in product(range(1, 5), range(1, 5)) if x + y <= 7]
