"""The values of an AMS scheme as tables: one for each value of the shared bit."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from amssim.formats.rounding.table import Table
from amssim.minifloat import Minifloat
from amssim.scheme import Scheme


@lru_cache
def sub_tables(scheme: Scheme) -> tuple[tuple[Table, np.ndarray], ...]:
    """(table, uint8 code of each of its entries) for shared bit 0 and 1; one pair where k = 1.

    >>> from amssim.scheme import FP4_25
    >>> [table.values[-3:] for table, codes in sub_tables(FP4_25)]
    [(3.0, 4.0, 6.0), (3.5, 5.0, 7.0)]
    """
    element = scheme.minifloat
    if scheme.k == 1:
        return (_table(element, np.arange(2**element.bits)),)
    return tuple(_table(element, np.arange(bit, 2**element.bits, 2)) for bit in (0, 1))


def _table(element: Minifloat, codes: np.ndarray) -> tuple[Table, np.ndarray]:
    values, first = np.unique(element.values[codes], return_index=True)  # of two zeros, code 0
    return Table(tuple(values.tolist())), codes[first].astype(np.uint8)


def codes_of_entries(scheme: Scheme, indices: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """uint8[rows, cols] codes of table entries.

    Args:
        scheme: whose tables they index.
        indices: uint8[rows, cols] entries.
        chosen: uint8[rows, groups] the table of each group, its shared bit.
    """
    bits = np.repeat(chosen, scheme.k, axis=1)[:, : indices.shape[1]]
    by_bit = [codes for _, codes in sub_tables(scheme)]
    codes = by_bit[0].take(indices, mode="clip")
    for bit, other in enumerate(by_bit[1:], 1):
        codes = np.where(bits == bit, other.take(indices, mode="clip"), codes)
    return codes
