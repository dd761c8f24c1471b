"""The bits of a block as text, drawn from `amssim.layout`."""

from __future__ import annotations

from amssim.layout import HALF_WORD_BITS, layout
from amssim.scheme import Scheme

_BITS = range(HALF_WORD_BITS - 1, -1, -1)


def draw_block(scheme: Scheme) -> str:
    """Return a block of the canonical layout drawn with bit 15 of each half-word on the left.

    >>> from amssim.scheme import FP5_33
    >>> print(draw_block(FP5_33))
    fp5.33-e2m3: 3 weights in 1 half-word
    s sign, e exponent, m mantissa, b shared bit of a group
    bit  15  14  13  12  11  10   9   8   7   6   5   4   3   2   1   0
      0  b0  s2  e2  e2  m2  m2  s1  e1  e1  m1  m1  s0  e0  e0  m0  m0
    """
    form, labels = layout(scheme), _labels(scheme)
    words = f"{form.block_words} half-word" + "s" * (form.block_words > 1)
    shared = ", b shared bit of a group" if form.shared_offset is not None else ""
    wide = max(4, *(len(label) for label in labels))
    lines = [
        f"{scheme.name}: {form.block_weights} weights in {words}",
        f"s sign, e exponent, m mantissa{shared}",
        "bit" + "".join(f"{bit:>{wide}}" for bit in _BITS),
    ]
    for word in range(form.block_words):
        cells = (labels[word * HALF_WORD_BITS + bit] for bit in _BITS)
        lines.append(f"{word:>3}" + "".join(f"{cell:>{wide}}" for cell in cells))
    return "\n".join(lines)


def _labels(scheme: Scheme) -> list[str]:
    """Letter and weight (or group) of every bit of a block."""
    element = scheme.minifloat
    letters = "s" + "e" * element.exponent_bits + "m" * element.mantissa_bits
    labels = []
    for field in layout(scheme).fields:  # in stream order, without holes
        for bit in range(field.width):
            letter = letters[field.width - 1 - bit] if field.kind == "top" else "b"
            labels.append(f"{letter}{field.index}")
    return labels
