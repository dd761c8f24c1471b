"""Headers that are not what they claim: each is refused by every verb that reads them."""

import json
import struct

import pytest

from checkpoint.builders import entry, raw_file, split
from hostile.world import ONE, change_header

GOOD = {"a.weight": entry("F32", [2, 3], 0, 24)}
DATA = bytes(24)


def with_entry(**fields):
    return raw_file({"a.weight": GOOD["a.weight"] | fields}, DATA)


def text(header: str) -> bytes:
    return raw_file(header.encode(), DATA)


TWICE = '{"a": %s, "a": %s}' % ((json.dumps(GOOD["a.weight"]),) * 2)
OFFSETS = '{"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": %s}}'
DEEP = '{"a": ' + "[" * 20 + "]" * 20 + "}"

#: What the file holds, and words of the sentence about it.
FILES = {
    "01 empty": (b"", "too small"),
    "01 seven bytes": (b"1234567", "too small"),
    "02 length beyond the file": (struct.pack("<Q", 2**40) + b"{}", "header claims"),
    "02 length of 2^64-1": (struct.pack("<Q", 2**64 - 1) + b"{}", "header claims"),
    "02 length 0": (struct.pack("<Q", 0), "header claims"),
    "03 cut off": (raw_file(GOOD, DATA[:-1]), "cut off"),
    "04 trailing byte": (raw_file(GOOD, DATA + b"x"), "after its last tensor"),
    "05 not UTF-8": (raw_file(b'{"\xff": 1}', DATA), "UTF-8"),
    "05 not JSON": (raw_file(b"{]", DATA), "JSON"),
    "05 an array": (raw_file(b"[1]", DATA), "does not start with"),
    "05 NaN": (text(OFFSETS % "[0, NaN]"), "header"),
    "05 Infinity in metadata": (text('{"__metadata__": {"a": Infinity}}'), "metadata"),
    "06 nested": (text(DEEP), "tensor 'a'"),
    "06 very nested": (text("{" + '"a":{' * 50000), "header"),
    "06 integer beyond 2^63": (text(OFFSETS % "[0, 9223372036854775808]"), "takes 24"),
    "06 integer of 5000 digits": (text(OFFSETS % f"[0, {'9' * 5000}]"), "header"),
    "06 surrogate": (text('{"\\ud800": {"dtype": "F32"}}'), "header"),
    "07 name twice": (text(TWICE), "twice"),
    "07 metadata twice": (text('{"__metadata__": {}, "__metadata__": {}}'), "twice"),
    "07 metadata key twice": (text('{"__metadata__": {"a": "1", "a": "2"}}'), "twice"),
    "05 metadata no text": (raw_file({"__metadata__": {"a": 1}} | GOOD, DATA), "text"),
    "09 negative": (with_entry(data_offsets=[-24, 0]), "data_offsets"),
    "09 minus zero": (text(OFFSETS % "[-0, 24]"), "-0"),
    "09 reversed": (with_entry(data_offsets=[24, 0]), "data_offsets"),
    "09 three": (with_entry(data_offsets=[0, 12, 24]), "data_offsets"),
    "09 fraction": (with_entry(data_offsets=[0, 24.0]), "data_offsets"),
    "09 beyond the end": (with_entry(data_offsets=[0, 2400], shape=[200, 3]), "cut off"),
    "09 hole": (raw_file({"a": entry("F32", [2, 3], 4, 28)}, DATA + b"1234"), "hole"),
    "09 overlap": (
        raw_file({"a": entry("F32", [5], 0, 20), "b": entry("F32", [2], 16, 24)}, DATA),
        "overlap",
    ),
    "09 other size": (with_entry(shape=[2, 4]), "takes 32"),
    "10 product overflows": (with_entry(shape=[2**40, 2**40]), "takes"),
    "10 negative dimension": (with_entry(shape=[-2, -3]), "shape"),
    "10 dimension of 2^48": (with_entry(shape=[0, 2**48], data_offsets=[0, 0]), "shape"),
    "10 rank 9": (with_entry(shape=[2, 3] + [1] * 7), "shape"),
    "10 truth for a dimension": (with_entry(shape=[True, 6]), "shape"),
    "12 long name": (raw_file({"n" * 4097: GOOD["a.weight"]}, DATA), "4096"),
    "12 long name in two bytes each": (raw_file({"ß" * 2049: GOOD["a.weight"]}, DATA), "4096"),
    "13 dtype no text": (with_entry(dtype=32), "dtype"),
    "05 entry no object": (raw_file({"a": [1]}, DATA), "a"),
    "05 entry without fields": (raw_file({"a": {}}, DATA), "dtype, shape and data_offsets"),
}
VERBS = {
    "quantize": ["bad.safetensors", "out.safetensors"],
    "dequantize": ["bad.safetensors", "out.safetensors"],
    "inspect": ["bad.safetensors"],
    "verify": ["bad.safetensors"],
    "error": ["bad.safetensors"],
}


@pytest.mark.parametrize("case", FILES)
def test_every_verb_refuses_a_bad_header(world, case):
    content, words = FILES[case]
    (world.folder / "bad.safetensors").write_bytes(content)
    for verb, paths in VERBS.items():
        result = world.fails(3, words, verb, *paths)
        assert "bad.safetensors" in result.err


@pytest.mark.parametrize("case", list(FILES)[::4])
def test_a_bad_shard_names_itself(world, case):
    content, words = FILES[case]
    (world.model / ONE).write_bytes(content)
    assert ONE in world.fails(3, words, "quantize", "model", "out").err


def test_08_fields_of_others_are_a_remark(world):
    change_header(world.model / ONE, lambda h: h["model.layers.0.up.weight"].update(extra=1))
    assert "extra" in world.works("inspect", "model").out
    world.quantize()


def test_11_empty_tensors_and_scalars_are_kept(world):
    header = {"empty": entry("F32", [0, 3], 0, 0), "scalar": entry("F32", [], 0, 4)}
    header["w.weight"] = entry("F32", [2, 3], 4, 28)
    (world.folder / "s.safetensors").write_bytes(raw_file(header, bytes(4) + DATA))
    world.quantize(src="s.safetensors", dst="q.safetensors")


@pytest.mark.parametrize("dtype", ["X4_E9", "BF8", "\x1b[2J", "x" * 2000, ""])
def test_13_a_tensor_of_unknown_dtype_is_copied(world, dtype):
    header = {"w.weight": entry("F32", [2, 3], 0, 24), "odd.weight": entry(dtype, [7, 9], 24, 57)}
    data = bytes(range(57))
    (world.folder / "s.safetensors").write_bytes(
        raw_file(header, data[:24].replace(b"\x00", b"\x01") + data[24:])
    )
    path = world.quantize(src="s.safetensors", dst="q.safetensors")
    header, stored = split(path)
    first, last = header["odd.weight"]["data_offsets"]
    assert header["odd.weight"]["dtype"] == dtype and stored[first:last] == data[24:57]
