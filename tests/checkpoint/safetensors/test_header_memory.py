"""Memory that JSON takes is bounded by its size, whatever it holds: 16 times that of a header."""

import json
import tracemalloc

import pytest

from amssim import AmsError, FormatError, ResourceError
from amssim.checkpoint.safetensors import header_text, strict_json
from amssim.checkpoint.safetensors.header import read_header
from amssim.checkpoint.safetensors.strict_json import parse_json
from checkpoint.builders import entry, raw_file

SIZE = 100_000
TENSOR = b'"#":{"dtype":"U8","shape":[],"data_offsets":[0,0]}'


def filled(start: bytes, item: bytes, end: bytes) -> bytes:
    """A header of `SIZE` bytes that repeats ``item``, in which # is a number."""
    items, length = [], 0
    while length < SIZE:
        items.append(item.replace(b"#", b"%x" % len(items)))
        length += len(items[-1]) + 1
    return start + b",".join(items) + end


HEADERS = {
    "tensors": filled(b"{", TENSOR, b"}"),
    "tensors with spaces": filled(b"{", b"\n" + TENSOR.replace(b":", b" : "), b"}"),
    "empty objects": filled(b"{", b'"#":{}', b"}"),
    "objects in an entry": filled(b'{"a":[', b"{}", b"]}"),
    "arrays in an entry": filled(b'{"a":{"x":[', b"[]", b"]}}"),
    "nested arrays": filled(b'{"a":{"x":[', b"[[[[[]]]]]", b"]}}"),
    "numbers": filled(b'{"a":{"x":[', b"300", b"]}}"),
    "entries with arrays": filled(b"{", b'"#":{"x":[' + b"[]," * 400 + b"[]]}", b"}"),
    "metadata": filled(b'{"__metadata__":{', b'"#":""', b"}}"),
    "metadata with objects": filled(b'{"__metadata__":{"a":[', b"{}", b"]}}"),
    "wide text": ('{"__metadata__":{"a":"' + "x" * SIZE + '\U0001f600"}}').encode(),
}  # fmt: skip


def peak_of(work) -> int:
    tracemalloc.start()
    try:
        work()
    except AmsError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("text", HEADERS.values(), ids=HEADERS)
def test_2_a_header(tmp_path, text):
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw_file(text))
    assert peak_of(lambda: read_header(path)) <= 16 * len(text) + 100_000


@pytest.mark.parametrize("item", [b"{}", b"[]", b'"#":{}', b'"#":""', b"[[[[]]]]"])
def test_2_other_json_is_refused_before_it_is_parsed(monkeypatch, item):
    monkeypatch.setattr(strict_json, "_DENSE_BYTES", 1000)
    start, end = (b"{", b"}") if b":" in item else (b"[", b"]")
    text = filled(start, item, end)
    with pytest.raises(FormatError, match=r"x holds \d+ values in \d+ bytes: expected names of"):
        parse_json(text, "x")
    assert peak_of(lambda: parse_json(text, "x")) <= 10_000


def test_a_long_index_is_read(monkeypatch):
    monkeypatch.setattr(strict_json, "_DENSE_BYTES", 1000)
    where = {f"h.{i}.w": f"model-{i % 9:05}-of-00009.safetensors" for i in range(1000)}
    assert parse_json(json.dumps({"weight_map": where}).encode(), "x") == {"weight_map": where}


def test_metadata_have_a_largest_number(tmp_path, monkeypatch):
    monkeypatch.setattr(header_text, "MAX_METADATA", 2)
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw_file({"__metadata__": {"a": "", "b": ""}}))
    assert len(read_header(path).metadata) == 2
    path.write_bytes(raw_file({"__metadata__": {"a": "", "b": "", "c": ""}}))
    with pytest.raises(FormatError, match="has more than 2 metadata"):
        read_header(path)


def test_48_json_that_memory_has_no_room_for(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw_file({"a": entry("U8", [0], 0, 0)}))

    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr(header_text, "decode_text", fail)
    with pytest.raises(ResourceError, match="bytes do not fit into memory"):
        read_header(path)
    monkeypatch.setattr(strict_json, "decode_text", fail)
    with pytest.raises(ResourceError, match="x: 2 bytes of JSON exceed the memory"):
        parse_json(b"{}", "x")
