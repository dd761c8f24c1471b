"""From words of a form to mma fragments: which slot of which word each register comes from.

A *slot* is one of the half2 registers that a word decodes to: weight i of its low half's group
beside weight i of its high half's. Two slots of a word need no more than a shift and a mask, the
first not even a shift. The bits that are left over hold the fields of the other slots, not shifted
but turned into other bits by a bijection: a product (FP4.25), or two shifts of the whole word xor
each other (FP5.33). Whoever packs a word inverts it. The constants were found by exhaustive search.

Decoding takes 10 instructions per 8 weights (FP4.25) or 6 per 6 (FP5.33). The pipe that does logic
is the busy one, with 7 or 4 of them per word; shifts to the left and products run on another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cuda_kernels.emulator.lanes import Lanes, lanes

#: (number of the unit's mma, register of its fragment) -> (word of the lane, slot)
Fragment = Callable[[int, int], tuple[int, int]]


def slot_names(pairs: int, fragment: Fragment) -> dict[tuple[int, int], str]:
    """(word, slot) -> the register of the result that it becomes, as `inline.ptx` names it."""
    places = [(j, r) for j in range(pairs // 2) for r in range(4)]
    return {fragment(j, r): f"$out.{4 * j + r}" for j, r in places}


def in_fragment_order(
    slots: Sequence[Sequence[np.ndarray]], pairs: int, fragment: Fragment
) -> tuple[Lanes, ...]:
    """The slots of a lane's words as the registers of the unit's fragments."""
    places = [fragment(j, r) for j in range(pairs // 2) for r in range(4)]
    return tuple(lanes(slots[word][slot], np.uint32) for word, slot in places)
