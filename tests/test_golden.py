"""Bytes written once that every later version must still read, and write, the same."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from amssim import PackedTensor, quantize, reference, scheme
from golden import reader

FILES = sorted((Path(__file__).parent / "golden").glob("*e*m*.json"))
CASES = [(f.stem, i, case) for f in FILES for i, case in enumerate(json.loads(f.read_text()))]


def array(case, key, dtype):
    found = np.frombuffer(bytes.fromhex(case[key]), dtype)
    return found.reshape(case["shape"][0], -1)


@pytest.fixture(params=CASES, ids=lambda c: f"{c[0]}-{c[1]}")
def case(request):
    return request.param[2]


def test_an_independent_reader_restores_the_weights(case):
    words = array(case, "words", "<u2").ravel().tolist()
    scales = array(case, "scales", "<f4").ravel().tolist()
    block = case["options"].get("scale_block")
    restored = reader.restore(words, scales, case["shape"], case["scheme"], block)
    packed = struct.pack(f"<{sum(map(len, restored))}f", *(v for row in restored for v in row))
    assert packed.hex() == case["restored"]


def test_the_specification_writes_the_same_bytes(case):
    weights = array(case, "weights", "<f4")
    words, scales = reference.quantize(weights, scheme(case["scheme"]), **case["options"])
    assert words.tobytes().hex() == case["words"]
    assert scales.tobytes().hex() == case["scales"]


def test_the_codec_writes_and_reads_the_same_bytes(case):
    packed = quantize(array(case, "weights", "<f4"), case["scheme"], **case["options"])
    assert packed.words.tobytes().hex() == case["words"]
    assert packed.scales.tobytes().hex() == case["scales"]
    stored = PackedTensor(
        case["scheme"],
        case["shape"],
        array(case, "words", "<u2"),
        array(case, "scales", "<f4"),
        case["options"].get("scale_block"),
    )
    assert stored == packed
    assert stored.dequantize().tobytes().hex() == case["restored"]
