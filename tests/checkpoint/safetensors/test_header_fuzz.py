"""What the safetensors library and we make of the same bytes, right ones and changed ones.

We are never looser: what we read, the library reads alike. We are stricter only for the reasons
that stand in `STRICTER`. ``HYPOTHESIS_PROFILE=fuzz`` searches longer.
"""

import json
import re
import tempfile
from pathlib import Path
from random import Random

import numpy as np
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize, safe_open

from amssim import FormatError
from amssim.checkpoint.safetensors.array_dtypes import ARRAY_DTYPES
from amssim.checkpoint.safetensors.header import DTYPE_BITS, Header, read_header
from amssim.checkpoint.safetensors.reader import TensorReader
from checkpoint.builders import entry, raw_file
from checkpoint.safetensors.header_faults import files
from fuzz.mutations import change_bytes

VALID = {
    "__metadata__": {"format": "pt"},
    "a.weight": entry("F32", [2, 3], 0, 24),
    "b": entry("U8", [4], 24, 28),
    "s": entry("I64", [], 28, 36),
}
DATA = np.arange(36, dtype=np.uint8).tobytes()
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
#: Reasons for which we refuse what the library takes.
STRICTER = re.compile(
    r"holds the key .* twice"
    r"|is nested too deeply"
    r"|has no flat object of at most 4096 characters"
    r"|has an object in a tensor's entry"
    r"|does not start with '{'"
    r"|beyond the range of numbers"
    r"|its name has \d+ bytes"
    r"|shape must be at most 8 numbers from 0 to below 2\*\*48"
)


def by_the_library(raw: bytes) -> dict[str, dict] | None:
    """Dtype, shape and bytes of every tensor; None for a file that it refuses."""
    try:
        return dict(deserialize(raw))
    except SafetensorError:
        return None


def check(raw: bytes) -> str:
    """Compare; return what came of it."""
    theirs = by_the_library(raw)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder, "x.safetensors")
        path.write_bytes(raw)
        try:
            header = read_header(path)
        except FormatError as error:
            assert "\n" not in str(error) and len(str(error)) < 500
            assert theirs is None or STRICTER.search(str(error)), error
            return "refused by both" if theirs is None else "refused by us"
        if theirs is None:
            odd = {info.dtype for info in header.tensors.values()} - DTYPE_BITS.keys()
            assert odd, "we read what the library refuses"
            return "a dtype that the library does not know"
        compare(header, theirs, raw)
    return "read by both"


def compare(header: Header, theirs: dict[str, dict], raw: bytes) -> None:
    assert header.tensors.keys() == theirs.keys()
    with safe_open(header.path, "np") as file:
        assert (file.metadata() or {}) == header.metadata
    with TensorReader(header) as reader:
        for name, their in theirs.items():
            info = header.tensors[name]
            assert (info.dtype, list(info.shape)) == (their["dtype"], their["shape"])
            assert reader.raw(name) == bytes(their["data"]) == raw[slice(*header.data_range(name))]
            if info.dtype in ARRAY_DTYPES:
                whole = reader.whole(name)
                assert whole.shape == info.shape and whole.tobytes() == bytes(their["data"])


def spaced() -> bytes:
    """The same file with spaces, metadata last, a tensor of another order and an unknown dtype."""
    header = {name: VALID[name] for name in ("b", "a.weight")} | {"q": entry("Q9", [2], 28, 36)}
    header["__metadata__"] = {"format": "pt", "é": '{"a": [1]}'}
    return raw_file(json.dumps(header, indent=1).encode() + b"   ", DATA)


BASES = [raw_file(VALID, DATA), spaced(), raw_file({})]


@settings(max_examples=max(150, settings().max_examples))
@given(files())
@example(raw_file(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[-0,0]}}'))
@example(raw_file(b'{"a\tb":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'))
@example(raw_file(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},}'))
@example(raw_file(b'{"a":{"dtype":"U8","shape":[01],"data_offsets":[0,1]}}', b"x"))
@example(raw_file('{"a":{"dtype":"U8","shape":[\u0661],"data_offsets":[0,1]}}'.encode(), b"x"))
@example(raw_file(b'{"__metadata__":{"a":"\n"}}'))
@example(raw_file(b'{"__metadata__":{"a":"b",}}'))
def test_headers_as_text(raw):
    event(check(raw))


@settings(max_examples=max(1000, settings().max_examples))
@given(st.sampled_from(BASES), st.booleans(), st.integers(0, 2**64))
def test_changed_bytes(raw, in_the_header, seed):
    if in_the_header:
        start = 8 + int.from_bytes(raw[:8], "little")
        raw = raw_file(change_bytes(raw[8:start], Random(seed)), raw[start:])
    else:
        raw = change_bytes(raw, Random(seed))
    event(check(raw))


@given(st.binary(max_size=60))
def test_any_bytes(raw):
    check(raw)
    check(raw_file(raw))
    check(raw_file(b"{" + raw))


def test_what_the_search_finds_is_not_all_alike():
    found = {check(change_bytes(BASES[0], Random(seed))) for seed in range(100)}
    assert found >= {"read by both", "refused by both"}
    assert check(BASES[0]) == check(BASES[2]) == "read by both"
    assert check(BASES[1]) == "a dtype that the library does not know"
    assert check(raw_file(b" {}")) == "refused by us"
