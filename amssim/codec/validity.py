"""Whether codes that came from outside can be packed."""

from __future__ import annotations

import numpy as np

from amssim._jit import inline, part
from amssim.codec.packing import groups_of
from amssim.codec.sharing import spread


@inline
def codes_are_valid(chunk, count, form):
    """Whether ``count`` codes are in range and share the last bit of their group's first one.

    chunk  Chunk  its bits are those of the first ones
    count  int
    form   Form
    """
    if form.k == 1:
        return _match(chunk.codes, chunk.codes, count, form.code_bits)
    spread(chunk.bits, groups_of(count, form), form.k, chunk.members)
    return _match(chunk.codes, chunk.members, count, form.code_bits)


@part
def _match(codes, members, count, code_bits):
    too_large = np.uint8(0)
    differing = np.uint8(0)
    for j in range(count):
        too_large = np.uint8(too_large | codes[j])
        differing = np.uint8(differing | np.uint8(codes[j] ^ members[j]))
    too_large = np.uint8(np.uint32(too_large) >> np.uint32(code_bits))
    return np.uint8(too_large | np.uint8(differing & np.uint8(1))) == np.uint8(0)
