"""Whether codes that came from outside can be packed."""

from __future__ import annotations

import numpy as np

from amssim._jit import inline, part


@part
def codes_are_valid(codes, count, form):
    """Whether ``count`` codes are in range and each group, a part of one too, has one last bit.

    codes  uint8[>= count]
    form   Form
    """
    wrong = np.uint8(0)
    for j in range(count):
        wrong = np.uint8(wrong | codes[j])
    wrong = np.uint8(np.uint32(wrong) >> np.uint32(form.code_bits))
    full = count // form.k
    if form.k == 3:
        wrong |= _differing(codes, full, 3)
    elif form.k == 4:
        wrong |= _differing(codes, full, 4)
    else:
        wrong |= _differing(codes, full, form.k)
    for j in range(full * form.k, count):
        wrong |= np.uint8((codes[j] ^ codes[full * form.k]) & np.uint8(1))
    return wrong == np.uint8(0)


@inline
def _differing(codes, groups, k):
    wrong = np.uint8(0)
    for g in range(groups):
        for i in range(1, k):
            wrong = np.uint8(wrong | np.uint8(codes[g * k + i] ^ codes[g * k]))
    return np.uint8(wrong & np.uint8(1))
