"""Arguments of no sense at all: every function refuses them with a sentence."""

import numpy as np
import pytest

import amssim
from amssim import AmsError, PackedTensor

PACKED = amssim.quantize(np.ones((2, 6), np.float32), "fp5.33")
CALLS = {
    PackedTensor: {
        "scheme": "fp5.33",
        "shape": (2, 6),
        "words": PACKED.words,
        "scales": PACKED.scales,
        "scale_block": None,
    },
    amssim.quantize: {
        "weights": np.ones((2, 6), np.float32),
        "scheme": "fp5.33",
        "search": "adaptive",
        "scale": "absmax",
        "scale_block": None,
        "threads": 1,
    },
    amssim.dequantize: {"packed": PACKED, "dtype": "float32", "threads": 1},
    amssim.unpack: {"words": PACKED.words, "scheme": "fp5.33", "columns": 6, "threads": 1},
    amssim.pack: {"codes": PACKED.codes(), "scheme": "fp5.33", "threads": 1},
    amssim.gemv: {"packed": PACKED, "x": np.ones((1, 6), np.float32)},
}
WILD = [
    float("inf"), float("nan"), -1, 0, 2**70, 10**400, 1j, "x", "\ud800", b"x", {}, object(),
    [], (2,), (float("inf"), 6), (6, float("nan")), ("2", "6"), (2.5, 6), (2**62, 2**62),
    (10**30, 6), [[1], [2, 3]], range(2), np.array([2.5, 6]), np.zeros((2, 2), object),
    np.zeros((2, 2), "U3"), np.zeros((2, 2), ">u2"), np.ma.zeros((2, 2)), np.datetime64("now"),
]  # fmt: skip
CASES = [(call, name) for call, arguments in CALLS.items() for name in arguments]


@pytest.mark.parametrize(("call", "name"), CASES, ids=lambda v: getattr(v, "__name__", v))
def test_each_is_taken_or_refused_with_a_sentence(call, name):
    refused = 0
    for value in WILD:
        try:
            call(**CALLS[call] | {name: value})
        except AmsError as error:
            assert str(error)
            refused += 1
    assert refused > len(WILD) / 2
