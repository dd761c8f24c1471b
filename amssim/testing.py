"""Hypothesis strategies for AMS formats, weights and packed words, for your own tests too.

Needs Hypothesis (``pip install 'amssim[test]'``), not pytest.

>>> import amssim
>>> from hypothesis import given, settings
>>> @settings(max_examples=20, deadline=None)
... @given(packed_tensors())
... def repacking_changes_nothing(packed):
...     words = amssim.pack(packed.codes(), packed.scheme)
...     assert (words == packed.words).all()
>>> repacking_changes_nothing()
"""

from __future__ import annotations

from typing import Any

import numpy as np

from amssim.errors import ResourceError
from amssim.layout import layout
from amssim.minifloat import EXPONENT_BITS, MANTISSA_BITS, MAX_BITS, Minifloat
from amssim.rules import SCALE_RULES, SEARCH_RULES
from amssim.scheme import Scheme
from amssim.scheme import schemes as list_schemes
from amssim.tensor.packed import PackedTensor
from amssim.tensor.quantize import pack

try:
    from hypothesis import strategies as st
except ImportError:
    raise ResourceError("amssim.testing needs Hypothesis: pip install 'amssim[test]'") from None

_LIMITS = np.finfo(np.float32)
_SPECIAL = [0.0, -0.0, 1.0, -1.0, *(float(x) for x in (_LIMITS.tiny, -_LIMITS.tiny))]
_EXTREME = [float(_LIMITS.max), float(_LIMITS.min), float(_LIMITS.smallest_subnormal)]
_TAILS = [1, 2, 3, 4, 5, 15, 16, 17, 47, 48, 49, 63, 64, 65]


def minifloats() -> st.SearchStrategy[Minifloat]:
    """Draw every possible `Minifloat`."""
    widths = [(x, y) for x in EXPONENT_BITS for y in MANTISSA_BITS if 1 + x + y <= MAX_BITS]
    return st.sampled_from(widths).map(lambda xy: Minifloat(*xy))


def schemes(*, max_k: int = 8, presets_only: bool = False) -> st.SearchStrategy[Scheme]:
    """Draw schemes: presets half of the time, else any minifloat with k up to ``max_k``."""
    presets = st.sampled_from(list_schemes())
    if presets_only:
        return presets
    return presets | st.builds(Scheme, minifloats(), st.integers(1, max_k))


def search_rules() -> st.SearchStrategy[str]:
    """Draw the name of a search rule."""
    return st.sampled_from(SEARCH_RULES)


def scale_rules() -> st.SearchStrategy[str]:
    """Draw the name of a scale rule."""
    return st.sampled_from(SCALE_RULES)


def shapes(*, max_rows: int = 4, max_columns: int = 80) -> st.SearchStrategy[tuple[int, int]]:
    """Draw matrix shapes, block and group edges among them."""
    edges = [n for n in _TAILS if n <= max_columns]
    columns = st.sampled_from(edges) | st.integers(1, max_columns)
    return st.tuples(st.integers(1, max_rows), columns)


@st.composite
def weights(
    draw: st.DrawFn,
    scheme: Scheme | None = None,
    *,
    shape: tuple[int, int] | None = None,
    extremes: bool = True,
) -> np.ndarray:
    """Draw float32[rows, columns] finite weights.

    The kinds are smooth and heavy-tailed noise, exact values and ties of ``scheme`` at a power-
    of-two scale, rows of zeros, specials, and (with ``extremes``) the ends of float32.
    """
    shape = draw(shapes()) if shape is None else shape
    scheme = draw(schemes()) if scheme is None else scheme
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = ["normal", "heavy", "grid", "ties", "special", "sparse"] + ["extreme"] * extremes
    drawn = _draw_kind(draw(st.sampled_from(kinds)), shape, scheme, rng)
    return np.asarray(drawn, np.float32)


def _draw_kind(kind: str, shape: tuple[int, int], scheme: Scheme, rng: np.random.Generator) -> Any:
    grid = np.unique(scheme.minifloat.values.astype(np.float64))
    power = 2.0 ** rng.integers(-20, 20)
    match kind:
        case "normal":
            return rng.standard_normal(shape) * power
        case "heavy":
            return np.clip(rng.standard_t(2, shape), -1e6, 1e6) * power
        case "grid":
            return rng.choice(grid, shape) * power
        case "ties":
            ties = np.concatenate([(grid[1:] + grid[:-1]) / 2, (grid[2:] + grid[:-2]) / 2])
            return np.append(ties, grid[-1])[rng.integers(0, ties.size + 1, shape)] * power
        case "special":
            return rng.choice(_SPECIAL, shape)
        case "sparse":
            return rng.standard_normal(shape) * (rng.random(shape) < 0.1)
        case _:
            return rng.choice(_SPECIAL + _EXTREME, shape)


@st.composite
def packed_words(
    draw: st.DrawFn, scheme: Scheme, *, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """Draw uint16[rows, half-words] with every bit random, padding included."""
    rows, columns = draw(shapes()) if shape is None else shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.integers(0, 2**16, (rows, layout(scheme).row_words(columns)), dtype=np.uint16)


@st.composite
def packed_tensors(
    draw: st.DrawFn,
    scheme: Scheme | None = None,
    *,
    shape: tuple[int, int] | None = None,
) -> PackedTensor:
    """Draw a `PackedTensor` whose codes are any that the scheme can hold, padding zero."""
    scheme = draw(schemes()) if scheme is None else scheme
    rows, columns = draw(shapes()) if shape is None else shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups = layout(scheme).row_groups(columns)
    codes = rng.integers(0, 2**scheme.minifloat.bits, (rows, columns)) & ~1
    shared = np.repeat(rng.integers(0, 2, (rows, groups)), scheme.k, axis=1)[:, :columns]
    words = pack((codes | shared).astype(np.uint8), scheme)
    scales = np.exp2(rng.integers(-10, 10, (rows, 1))).astype(np.float32)
    return PackedTensor(scheme, (rows, columns), words, scales)
