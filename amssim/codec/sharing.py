"""Groups and their shared bits: from votes to bits, from bits to members, from drafts to codes.

Loops over the groups vectorise where k is a constant, so the common k have copies of their own.
"""

from __future__ import annotations

import numpy as np

from amssim._jit import inline, part


@part
def elect(votes, groups, k, bits):
    """bits[g] = 1 if the sum of group g's votes, first to last, is negative, else 0.

    votes   float32[>= groups * k]
    groups  int
    k       int
    bits    uint8[>= groups]        written
    """
    if k == 1:
        _elect(votes, groups, 1, bits)
    elif k == 2:
        _elect(votes, groups, 2, bits)
    elif k == 3:
        _elect(votes, groups, 3, bits)
    elif k == 4:
        _elect(votes, groups, 4, bits)
    elif k == 8:
        _elect(votes, groups, 8, bits)
    else:
        _elect(votes, groups, k, bits)


@inline
def _elect(votes, groups, k, bits):
    for g in range(groups):
        total = votes[g * k]
        for i in range(1, k):
            total += votes[g * k + i]
        bits[g] = np.uint8(1) if total < np.float32(0) else np.uint8(0)


@part
def collect(codes, groups, k, bits):
    """bits[g] = last bit of group g's first code.

    codes   uint8[>= groups * k]
    groups  int
    k       int
    bits    uint8[>= groups]      written
    """
    if k == 1:
        _collect(codes, groups, 1, bits)
    elif k == 2:
        _collect(codes, groups, 2, bits)
    elif k == 3:
        _collect(codes, groups, 3, bits)
    elif k == 4:
        _collect(codes, groups, 4, bits)
    else:
        _collect(codes, groups, k, bits)


@inline
def _collect(codes, groups, k, bits):
    for g in range(groups):
        bits[g] = np.uint8(codes[g * k] & np.uint8(1))


@part
def spread(bits, groups, k, members):
    """members[g * k + i] = bits[g] for every i below k.

    bits     uint8[>= groups]
    groups   int
    k        int
    members  uint8[>= groups * k]  written
    """
    if k == 1:
        _spread(bits, groups, 1, members)
    elif k == 2:
        _spread(bits, groups, 2, members)
    elif k == 3:
        _spread(bits, groups, 3, members)
    elif k == 4:
        _spread(bits, groups, 4, members)
    elif k == 8:
        _spread(bits, groups, 8, members)
    else:
        _spread(bits, groups, k, members)


@inline
def _spread(bits, groups, k, members):
    for g in range(groups):
        for i in range(k):
            members[g * k + i] = bits[g]


@part
def commit(codes, members, count, sign):
    """Make codes of drafts, in place.

    codes    uint8[>= count]  drafts, then codes
    members  uint8[>= count]  the shared bit of each one's group
    count    int
    sign     uint8            the sign bit of a code
    """
    for j in range(count):
        low = np.uint8(codes[j] & np.uint8(1))
        down = np.uint8(np.uint8(low & members[j]) << np.uint8(1))
        code = np.uint8(np.uint8(np.uint8(codes[j] - low) + members[j]) - down)
        codes[j] = code if code != sign else np.uint8(0)  # negative zero is never written
