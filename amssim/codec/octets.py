"""Eight fields of 1 to 8 bits each: spread over the bytes of a uint64, or close together.

They move in three steps, all lanes of the integer at once: into pairs, fours, eights.
"""

from __future__ import annotations

import numpy as np

from amssim._jit import leaf

_ONE = np.uint64(1)
_PER_16 = np.uint64(0x0001000100010001)
_PER_32 = np.uint64(0x0000000100000001)
#: 1 in every byte
PER_BYTE = np.uint64(0x0101010101010101)


@leaf
def together(fields, width):
    """Close the gaps: field i moves from bit 8 i to bit width * i. All uint64."""
    two, four = np.uint64(width << _ONE), np.uint64(width << np.uint64(2))
    fields = _pull(fields, width, np.uint64(8), _PER_16)
    fields = _pull(fields, two, np.uint64(16), _PER_32)
    return _pull(fields, four, np.uint64(32), _ONE)


@leaf
def apart(fields, width):
    """The inverse of `together`; bits past the eighth field are ignored."""
    two, four = np.uint64(width << _ONE), np.uint64(width << np.uint64(2))
    fields = _push(fields, four, np.uint64(32), _ONE)
    fields = _push(fields, two, np.uint64(16), _PER_32)
    return _push(fields, width, np.uint64(8), _PER_16)


@leaf
def _pull(x, width, lane, per_pair):
    """Move the upper of each two fields down from bit ``lane`` to the lower one's end."""
    lower = _mask(width, per_pair)
    moved = np.uint64(np.uint64(x >> np.uint64(lane - width)) & np.uint64(lower << width))
    return np.uint64(np.uint64(x & lower) | moved)


@leaf
def _push(x, width, lane, per_pair):
    """Move the upper of each two fields up from the lower one's end to bit ``lane``."""
    lower = _mask(width, per_pair)
    moved = np.uint64(np.uint64(x << np.uint64(lane - width)) & np.uint64(lower << lane))
    return np.uint64(np.uint64(x & lower) | moved)


@leaf
def _mask(width, per_pair):
    return np.uint64(per_pair * np.uint64(np.uint64(_ONE << width) - _ONE))


@leaf
def join(low, high, width):
    """The bits of two octets as 128, the least significant uint64 first."""
    four = np.uint64(width << np.uint64(2))  # twice: a shift by 64 at once would be undefined
    rest = np.uint64(np.uint64(32) - four)
    first = np.uint64(low | np.uint64(np.uint64(high << four) << four))
    return first, np.uint64(np.uint64(high >> rest) >> rest)


@leaf
def halve(first, second, width):
    """The inverse of `join`; above the bits of an octet are others."""
    four = np.uint64(width << np.uint64(2))
    rest = np.uint64(np.uint64(32) - four)
    high = np.uint64(np.uint64(first >> four) >> four)
    return first, np.uint64(high | np.uint64(np.uint64(second << rest) << rest))
