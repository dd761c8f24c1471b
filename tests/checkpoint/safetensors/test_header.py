"""Headers of safetensors files: what is refused and in which words. Numbers: cases of a list
of hostile inputs that any container of weights meets."""

import json
import struct

import pytest

from amssim import FormatError, InputError, MismatchError
from amssim.checkpoint.safetensors import header as header_module
from amssim.checkpoint.safetensors.header import read_header
from checkpoint.builders import entry, raw_file

ONE = {"a": entry("U8", [2], 0, 2)}


def two(first, second, data):
    return raw_file({"a": entry("U8", [first[1] - first[0]], *first),
                     "b": entry("U8", [second[1] - second[0]], *second)}, data)  # fmt: skip


MINUS_ZERO = b'{"a": {"dtype": "U8", "shape": [2], "data_offsets": [-0, 2]}}'


def deep(levels):
    """A header whose deepest value stands inside this many objects and arrays."""
    return raw_file(b'{"a": {"x": ' + b"[" * (levels - 2) + b"]" * (levels - 2) + b"}}")


def shaped(*shape, dtype="U8", size=2):
    return raw_file({"a": entry(dtype, shape, 0, size)}, b"x" * size)


CASES = {
    "1 empty": (b"", "too small for a header: 0 bytes"),
    "1 seven bytes": (b"1234567", "too small for a header: 7 bytes"),
    "2 longer than the file": (struct.pack("<Q", 2**40) + b"{}", "claims 1099511627776 bytes"),
    "2 longer than 100 MB": (struct.pack("<Q", 100_000_001) + b"{}", "claims 100000001 bytes"),
    "2 length zero": (struct.pack("<Q", 0) + b"{}", "claims 0 bytes"),
    "3 data cut off": (raw_file(ONE, b"x"), "cut off: its tensors take 2 bytes, the file holds 1"),
    "4 bytes after the end": (raw_file(ONE, b"xxPK"), "has 2 bytes after its last tensor"),
    "5 not UTF-8": (raw_file(b'{"\xff": 1}'), "is not UTF-8 at byte 2"),
    "5 not JSON": (raw_file(b"{nonsense}"), "is not JSON: "),
    "5 other start": (raw_file(b" {}"), "does not start with '{' but with b' '"),
    "5 NaN": (raw_file(b'{"a": {"x": NaN}}'), "the constant NaN"),
    "5 Infinity": (raw_file(b'{"a": {"x": -Infinity}}'), "the constant -Infinity"),
    "5 1e999": (raw_file(b'{"a": {"x": [1e999]}}'), "holds 1e999, which is beyond the range"),
    "5 comma at the end": (raw_file(b'{"__metadata__": {},}'), "is not JSON: expected a text at"),
    "5 no colon": (raw_file(b'{"a" {}}'), "is not JSON: expected ':' at character 5"),
    "5 no comma": (raw_file(b'{"__metadata__": {} "a": {}}'), "is not JSON: expected '}' at"),
    "5 text after the end": (raw_file(b"{} {}"), "is not JSON: surplus text at character 3"),
    "5 not closed": (raw_file(b'{"__metadata__": {}'), "is not JSON: expected '}' at character 19"),
    "6 depth": (deep(9), "nested too deeply"),
    "6 great depth": (deep(2000), "nested too deeply"),
    "6 an object in an entry": (
        raw_file({"a": ONE["a"] | {"x": {}}}, b"xx"),
        "is not JSON, or has an object in a tensor's entry: Expecting ','",
    ),
    "6 long entry": (
        raw_file({"a": ONE["a"] | {"x": "x" * 4096}}, b"xx"),
        "has no flat object of at most 4096",
    ),
    "6 large integer": (shaped(2**63), "shape must be"),
    "6 very large integer": (
        raw_file(b'{"a": {"x": ' + b"9" * 5000 + b"}}"),
        "has no flat",
    ),
    "6 lone surrogate": (raw_file(b'{"\\ud800": 1}'), r"not Unicode: '\ud800'"),
    "7 name twice": (
        raw_file(b'{"a": %s, "a": %s}' % ((json.dumps(ONE["a"]).encode(),) * 2), b"xx"),
        "holds the key 'a' twice",
    ),
    "6 lone surrogate in a field": (
        raw_file(b'{"a": {"x": ["b", ["\\uDFFF"]]}}'),
        r"not Unicode: '\udfff'",
    ),
    "6 lone surrogate in metadata": (
        raw_file(b'{"__metadata__": {"a": "\\ud800"}}'),
        r"not Unicode: '\ud800'",
    ),
    "7 metadata twice": (raw_file(b'{"__metadata__": {}, "__metadata__": {}}'), "twice"),
    "7 field twice": (raw_file(b'{"a": {"dtype": "U8", "dtype": "U8"}}'), "'dtype' twice"),
    "7 metadata key twice": (
        raw_file(b'{"__metadata__": {"k": "1", "k": "2"}}'),
        "holds the key 'k' twice",
    ),
    "9 negative": (raw_file({"a": entry("U8", [2], -1, 1)}, b"xx"), "data_offsets must be"),
    "9 reversed": (raw_file({"a": entry("U8", [2], 2, 0)}, b"xx"), "data_offsets must be"),
    "9 minus zero": (raw_file(MINUS_ZERO, b"xx"), "data_offsets must be a first and a last byte"),
    "9 three offsets": (raw_file({"a": ONE["a"] | {"data_offsets": [0, 1, 2]}}, b"xx"), "offsets"),
    "9 overlap": (two((0, 2), (1, 3), b"xxx"), "'b' overlaps the one before it: it starts at"),
    "9 hole": (two((0, 1), (2, 3), b"xxx"), "'b' leaves a hole: it starts at byte 2"),
    "9 hole at the start": (raw_file({"a": entry("U8", [1], 1, 2)}, b"xx"), "leaves a hole"),
    "9 beyond the end": (raw_file({"a": entry("U8", [2**40], 0, 2**40)}, b""), "cut off"),
    "9 size": (shaped(3), r"has 2 bytes, but U8[3] takes 3"),
    "9 half a byte": (shaped(3, dtype="F4"), r"has 2 bytes, but F4[3] takes 2"),
    "10 product": (shaped(2**47, 2**47), "has 2 bytes, but"),
    "10 dimension": (shaped(0, 2**62, size=0), "below 2**48, found [0, 4611686018427387904]"),
    "10 rank": (shaped(*[1] * 9, size=1), "shape must be at most 8 numbers"),
    "10 negative": (shaped(-2), "shape must be"),
    "10 fraction": (shaped(2.0), "shape must be"),
    "10 boolean": (shaped(True, size=1), "shape must be"),
    "10 text": (raw_file({"a": ONE["a"] | {"shape": "22"}}, b"xx"), "found '22'"),
    "12 name": (raw_file({"n" * 4097: entry("U8", [2], 0, 2)}, b"xx"), "has 4097 bytes"),
    "13 dtype": (raw_file({"a": ONE["a"] | {"dtype": 8}}, b"xx"), "dtype must be text, found 8"),
    "field missing": (raw_file({"a": {"dtype": "U8", "shape": []}}), "must have the fields"),
    "no object": (raw_file({"a": [1]}), "must have the fields"),
    "metadata no text": (raw_file({"__metadata__": {"a": 1}}), "must map text to text"),
    "metadata no object": (raw_file({"__metadata__": []}), "must map text to text"),
    "metadata nearly null": (raw_file(b'{"__metadata__": nully}'), "is not JSON: expected '}'"),
}


@pytest.mark.parametrize(("raw", "sentence"), CASES.values(), ids=CASES)
def test_what_is_no_safetensors_file(tmp_path, raw, sentence):
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw)
    with pytest.raises(FormatError) as found:
        read_header(path)
    assert sentence in str(found.value) and str(path) in str(found.value)
    assert "\n" not in str(found.value) and len(str(found.value)) < 400


def test_12_too_many_tensors(tmp_path, monkeypatch):
    monkeypatch.setattr(header_module, "MAX_TENSORS", 1)
    path = tmp_path / "x.safetensors"
    path.write_bytes(two((0, 1), (1, 2), b"xx"))
    with pytest.raises(FormatError, match="lists more than 1 tensors"):
        read_header(path)


LEGAL = {
    "no tensor": (raw_file({}), {}),
    "padded": (raw_file(b"{}      "), {}),
    "11 empty and scalar": (
        raw_file({"e": entry("F32", [0, 3], 0, 0), "s": entry("F32", [], 0, 4)}, b"1234"),
        {"e": (0, 3), "s": ()},
    ),
    "13 unknown dtype": (raw_file({"a": entry("Q9", [3], 0, 2)}, b"xx"), {"a": (3,)}),
    "half bytes": (shaped(4, dtype="F4"), {"a": (4,)}),
    "any order": (two((1, 3), (0, 1), b"xxx"), {"a": (2,), "b": (1,)}),
    "long name": (raw_file({"n" * 4096: entry("U8", [0], 0, 0)}), {"n" * 4096: (0,)}),
    "spaces": (
        raw_file(
            b'{ "e" :\t{"dtype":"U8","shape":[0],"data_offsets":[0,0]}\n, "f":\r'
            b'{"dtype":"U8","shape":[],"data_offsets":[0,1]} }  ',
            b"x",
        ),
        {"e": (0,), "f": ()},
    ),
    "metadata null": (raw_file({"__metadata__": None}), {}),
    "eight levels": (raw_file({"a": ONE["a"] | {"x": [[[[[[]]]]]]}}, b"xx"), {"a": (2,)}),
    "markup": (raw_file({"[red]\x1b[2J": entry("U8", [0], 0, 0)}), {"[red]\x1b[2J": (0,)}),
}


@pytest.mark.parametrize(("raw", "shapes"), LEGAL.values(), ids=LEGAL)
def test_unusual_files_that_are_legal(tmp_path, raw, shapes):
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw)
    assert {n: i.shape for n, i in read_header(path).tensors.items()} == shapes


def test_8_unknown_fields_are_reported(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw_file({"a": ONE["a"] | {"extra": [1]}}, b"xx"))
    assert read_header(path).unknown_fields == ("extra",)


def test_a_file_that_is_not_there_and_one_with_an_impossible_name(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_header(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="is not a file name"):
        read_header(tmp_path / "x\0.safetensors")


def test_43_a_file_that_changed_since_its_header_was_read(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw_file(ONE, b"xx"))
    header = read_header(path)
    header.check_unchanged()
    path.write_bytes(raw_file(ONE, b"xx") + b"x")
    with pytest.raises(MismatchError, match="changed while it was read"):
        header.check_unchanged()


def test_14_big_endian_machines_are_refused(monkeypatch):
    import importlib
    import sys

    from amssim import UnsupportedError

    monkeypatch.setattr(sys, "byteorder", "big")
    spec = importlib.util.find_spec("amssim.checkpoint.safetensors.header")
    with pytest.raises(UnsupportedError, match="little-endian machines only"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
