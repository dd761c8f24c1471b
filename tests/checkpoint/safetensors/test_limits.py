"""What no reader would take is known before it is written, and what is admitted is read."""

import pytest

from amssim import UnsupportedError
from amssim.checkpoint.safetensors import header as header_module
from amssim.checkpoint.safetensors import limits
from amssim.checkpoint.safetensors.header import TensorSpec, read_header
from amssim.checkpoint.safetensors.limits import check_header_limits, check_json_limit
from amssim.checkpoint.safetensors.shards import Index
from amssim.checkpoint.safetensors.writer import header_bytes, place


@pytest.mark.parametrize("name", ["n" * 4096, "é" * 2048])
def test_12_the_longest_name(tmp_path, name):
    spec = TensorSpec(name, "U8", (1,) * 8)
    check_header_limits([spec], 5000, "x")
    (tmp_path / "x.safetensors").write_bytes(header_bytes(place([spec]), {}) + b"x")
    assert read_header(tmp_path / "x.safetensors").tensors.keys() == {name}
    with pytest.raises(UnsupportedError, match=r"x: the name '.*'\.\.\. would have 4097 bytes, at"):
        check_header_limits([TensorSpec(name + "n", "U8", ())], 5000, "x")


def test_10_the_highest_rank():
    with pytest.raises(UnsupportedError, match="x: 'a' would have 9 dimensions, at most 8"):
        check_header_limits([TensorSpec("a", "U8", (1,) * 9)], 100, "x")


def test_2_the_longest_header(tmp_path, monkeypatch):
    infos = place([TensorSpec(f"a{i}", "U8", ()) for i in range(50)])
    size = len(header_bytes(infos, {})) - 8
    for module in (limits, header_module):
        monkeypatch.setattr(module, "MAX_JSON_BYTES", size)
    check_header_limits(infos, size, "x")
    path = tmp_path / "x.safetensors"
    path.write_bytes(header_bytes(infos, {}) + bytes(50))
    assert len(read_header(path).tensors) == 50
    with pytest.raises(UnsupportedError, match=f"x: the header would have {size + 1} bytes, at"):
        check_header_limits(infos, size + 1, "x")


def test_12_the_most_tensors(monkeypatch):
    monkeypatch.setattr(limits, "MAX_TENSORS", 2)
    specs = [TensorSpec(name, "U8", ()) for name in "abc"]
    check_header_limits(specs[:2], 100, "x")
    with pytest.raises(UnsupportedError, match="x would hold 3 tensors, at most 2 are read"):
        check_header_limits(specs, 100, "x")


def test_the_longest_index(monkeypatch):
    index = Index({"a": "b.safetensors"})
    size = len(index.encode())
    monkeypatch.setattr(limits, "MAX_JSON_BYTES", size)
    assert len(index.encode()) == size
    monkeypatch.setattr(limits, "MAX_JSON_BYTES", size - 1)
    with pytest.raises(UnsupportedError, match=rf"index.json would have {size} bytes, at most"):
        index.encode()
    check_json_limit(size - 1, "x")
