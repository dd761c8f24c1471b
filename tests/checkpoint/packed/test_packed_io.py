"""One packed tensor in a file, and what happens when the file is not what it should be."""

import json

import numpy as np
import pytest
from hypothesis import given
from safetensors.numpy import load_file

from amssim import (
    InputError,
    OutputError,
    PackedTensor,
    UnsupportedError,
    reference,
)
from amssim.checkpoint import (
    load_packed,
    open_checkpoint,
    save_packed,
)
from amssim.checkpoint.safetensors.header import read_header
from checkpoint.builders import entry, raw_file, split
from checkpoint.forging import packed_of
from golden import reader


@pytest.fixture
def path(tmp_path):
    save_packed(packed_of(), tmp_path / "x.safetensors", name="up.weight")
    return tmp_path / "x.safetensors"


@pytest.mark.parametrize("name", ["fp5.33", "fp4.25", "fp6-e3m2", "ams-e3m3-k7"])
@pytest.mark.parametrize("block", [None, 32])
def test_what_is_saved_is_loaded(tmp_path, name, block):
    packed = packed_of(name, block=block)
    packed.save(tmp_path / "x.safetensors")
    again = PackedTensor.load(tmp_path / "x.safetensors")
    assert again == packed and again.scale_block == block


def test_58_the_library_and_an_independent_reader_read_the_file(path):
    packed = packed_of()
    stored = load_file(path)
    assert np.array_equal(stored["up.weight_packed"], packed.words)
    assert np.array_equal(stored["up.weight_scale"], packed.scales)
    assert stored["up.weight_shape"].tolist() == [3, 70]
    metadata, tensors = reader.read_safetensors(path)
    manifest = json.loads(metadata["amssim"])
    words, scales = tensors["up.weight_packed"][2], tensors["up.weight_scale"][2]
    name = manifest["packed"]["up.weight"]["scheme"]
    restored = reader.restore(words, scales, tensors["up.weight_shape"][2], name)
    expected = reference.dequantize(packed.words, packed.scales, packed.scheme, 70)
    assert np.array_equal(np.float32(restored), expected)


def test_the_header_is_canonical_and_aligned(path):
    raw = path.read_bytes()
    header, _ = split(path)
    length = int.from_bytes(raw[:8], "little")
    assert length % 8 == 0 and next(iter(header)) == "__metadata__"
    text = header["__metadata__"]["amssim"]
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    for name, info in read_header(path).tensors.items():
        assert info.start % {"U16": 2, "F32": 4, "I64": 8}[info.dtype] == 0, name


def test_a_name_is_needed_where_there_are_several(path):
    assert load_packed(path, name="up.weight") == packed_of()
    with pytest.raises(InputError, match=r"no packed tensor 'x': it holds 1 \('up\.weight'\)"):
        load_packed(path, name="x")


@pytest.mark.parametrize("name", ["", 7, "n" * 4096, "\ud800", "a\udfffb"])
def test_a_name_that_is_none(tmp_path, name):
    with pytest.raises(InputError, match="must be 1 to 4096 bytes"):
        save_packed(packed_of(), tmp_path / "x.safetensors", name=name)


def test_an_output_that_exists_or_is_misnamed(path):
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists: choose another name"):
        save_packed(packed_of(seed=1), path)
    assert path.read_bytes() == before
    save_packed(packed_of(seed=1), path, overwrite=True)
    assert load_packed(path) == packed_of(seed=1)
    with pytest.raises(OutputError, match=r"must be named \*\.safetensors"):
        save_packed(packed_of(), path.with_suffix(".bin"))
    with pytest.raises(OutputError, match="is a directory"):
        (path.parent / "d.safetensors").mkdir()
        save_packed(packed_of(), path.parent / "d.safetensors")


def test_38_a_tensor_name_is_no_path(tmp_path):
    name = "../../[red]x\n"
    save_packed(packed_of(), tmp_path / "x.safetensors", name=name)
    assert list(open_checkpoint(tmp_path / "x.safetensors")) == [name]
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


@given(...)
def test_any_header_bytes_give_one_of_our_errors_or_the_tensor(position: int, value: int):
    from tempfile import TemporaryDirectory

    from amssim import AmsError

    with TemporaryDirectory() as folder:
        path = f"{folder}/x.safetensors"
        save_packed(packed_of(), path)
        with open(path, "r+b") as file:  # noqa: PTH123
            raw = bytearray(file.read())
            raw[position % (len(raw) - 3 * 70)] = value % 256
            file.seek(0)
            file.write(raw)
        try:
            found = load_packed(path)
        except AmsError:
            return
        assert found.scheme == packed_of().scheme and found.shape == (3, 70)


def test_10_an_empty_tensor_beyond_what_numpy_takes(path):
    path.write_bytes(raw_file({"a": entry("U8", [0, 2**47, 2**47], 0, 0)}))
    with pytest.raises(UnsupportedError, match=r"'a' of shape .* cannot be an array"):
        _ = open_checkpoint(path)["a"]


def test_a_name_that_the_mapping_does_not_have(path):
    found = open_checkpoint(path)
    assert "x" not in found and found.get("x") is None
    with pytest.raises(KeyError, match="holds no tensor 'x'"):
        _ = found["x"]
