"""Headers changed at random: an error of ours or a file that the library reads alike."""

import copy
import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors import safe_open

from amssim import AmsError
from amssim.checkpoint import open_checkpoint
from amssim.checkpoint.safetensors.header import read_header
from checkpoint.builders import entry, raw_file

VALID = {
    "__metadata__": {"format": "pt"},
    "a.weight": entry("F32", [2, 3], 0, 24),
    "b": entry("U8", [4], 24, 28),
    "s": entry("I64", [], 28, 36),
}
DATA = np.arange(36, dtype=np.uint8).tobytes()
# What its error message lists; of other dtypes we copy the bytes.
LIBRARY_KNOWS = {"BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3"}
LIBRARY_KNOWS |= {"F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16", "U16", "F16", "BF16"}
LIBRARY_KNOWS |= {"I32", "U32", "F32", "C64", "F64", "I64", "U64"}

numbers = st.integers(-2, 40) | st.sampled_from([2**31, 2**48, 2**63, 2**64, -(2**63)])
junk = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
dtypes = st.sampled_from(["F32", "BF16", "F4", "F8_E4M3", "I64", "Q7", "", "f32"])
shapes = st.lists(numbers, max_size=10)
offsets = st.lists(st.integers(0, 40), min_size=2, max_size=2)


@st.composite
def mutations(draw):
    """The valid header with one or two of its parts replaced, added or removed."""
    header = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(header)))
        kind = draw(st.sampled_from(["replace", "dtype", "shape", "offsets", "remove", "add"]))
        if kind == "replace":
            header[name] = draw(junk)
        elif kind == "remove":
            del header[name]
            if not header:
                break
        elif kind == "add":
            header[draw(st.text(max_size=4))] = draw(junk | st.just(entry("U8", [0], 36, 36)))
        elif isinstance(header[name], dict):
            field = {"offsets": "data_offsets"}.get(kind, kind)
            header[name][field] = draw({"dtype": dtypes, "shape": shapes, "offsets": offsets}[kind])
    return json.dumps(header).encode()


def check(raw: bytes) -> None:
    """We may be stricter than the library, never looser, and never fail in another way."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        path.write_bytes(raw)
        try:
            header = read_header(path)
        except AmsError as error:
            assert "\n" not in str(error)
            return
        if {i.dtype for i in header.tensors.values()} <= LIBRARY_KNOWS:
            with safe_open(path, "np") as library:
                assert sorted(library.keys()) == sorted(header.tensors)
        for name in header.tensors:
            try:
                found = open_checkpoint(path)[name]
            except AmsError:
                continue
            start, stop = header.data_range(name)
            assert np.asarray(found).tobytes() == raw[start:stop]


@given(mutations(), st.integers(-3, 3))
@example(json.dumps(VALID).encode(), 0)
def test_a_changed_header(header, surplus):
    check(raw_file(header, (DATA + bytes(3))[: 36 + surplus]))


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_a_changed_byte(position, value):
    raw = bytearray(raw_file(VALID, DATA))
    raw[position % len(raw)] = value
    check(bytes(raw))


@given(st.binary(max_size=60))
def test_any_bytes(raw):
    check(raw)
