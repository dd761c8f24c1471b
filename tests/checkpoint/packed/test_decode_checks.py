"""Whatever decodes a tensor finds a flipped bit in it, unless it was told not to look."""

import numpy as np
import pytest

from amssim import FormatError, MismatchError, PackedTensor
from amssim.checkpoint import (
    FloatCheckpoint,
    OpenCheckpoint,
    load_packed,
    open_checkpoint,
    quantize_checkpoint,
)
from amssim.checkpoint.packed.catalog import read_catalog
from amssim.checkpoint.packed.decode import packed_ranges, read_packed
from amssim.checkpoint.safetensors import reader as tensor_reader
from amssim.checkpoint.safetensors.reader import TensorReader
from checkpoint.builders import split, weights, write_tensors

TENSORS = {"x.weight": weights(3, 70), "bias": weights(5), "e": np.zeros(0, np.float32)}


@pytest.fixture
def path(tmp_path):
    quantize_checkpoint(
        write_tensors(tmp_path / "a.safetensors", TENSORS), tmp_path / "b.safetensors", "fp4.25"
    )
    return tmp_path / "b.safetensors"


def flip(path, name, bit):
    """Flip one bit of a stored tensor."""
    header, data = split(path)
    raw = bytearray(path.read_bytes())
    place = len(raw) - len(data) + header[name]["data_offsets"][0] + bit // 8
    raw[place] ^= 1 << bit % 8
    path.write_bytes(raw)


def by_ranges(path, *, verify=True):
    ((header, tensor),) = [item for item in read_catalog(path) if item[1].packing]
    with TensorReader(header) as reader:
        parts = [packed for _, packed in packed_ranges(reader, tensor, verify=verify)]
    return np.concatenate([part.words for part in parts])


def whole(path, *, verify=True):
    ((header, tensor),) = [item for item in read_catalog(path) if item[1].packing]
    return read_packed(header, tensor, verify=verify)


def value_of(kind):
    return lambda path, **options: kind(path, **options)["x.weight"]


OF_PACKED = [
    load_packed,
    PackedTensor.load,
    value_of(open_checkpoint),
    value_of(OpenCheckpoint),
    value_of(FloatCheckpoint),
    by_ranges,
    whole,
]


@pytest.mark.parametrize("read", OF_PACKED)
@pytest.mark.parametrize("block", [1, 1 << 24])
@pytest.mark.parametrize(("part", "bit"), [("packed", 0), ("packed", 999), ("scale", 23)])
def test_a_flipped_bit_of_a_packed_tensor(path, read, part, bit, block, monkeypatch):
    monkeypatch.setattr(tensor_reader, "ELEMENTS_AT_ONCE", block)
    read(path)
    flip(path, f"x.weight_{part}", bit)
    with pytest.raises(MismatchError) as found:
        read(path)
    start = f"{path}: tensor 'x.weight_{part}' is damaged: its checksum is "
    assert str(found.value).startswith(start) and "\n" not in str(found.value)
    read(path, verify=False)


@pytest.mark.parametrize("read", OF_PACKED)
def test_a_flipped_bit_of_a_shape(path, read):
    flip(path, "x.weight_shape", 0)
    with pytest.raises(FormatError, match=r"'x\.weight_shape' is damaged: it reads \[2, 70\]"):
        read(path, verify=False)


@pytest.mark.parametrize("kind", [open_checkpoint, OpenCheckpoint, FloatCheckpoint])
def test_a_flipped_bit_of_a_kept_tensor(path, kind):
    flip(path, "bias", 79)
    with pytest.raises(MismatchError, match="tensor 'bias' is damaged: its checksum is "):
        _ = kind(path)["bias"]
    assert kind(path, verify=False)["bias"].shape == (5,)
    assert kind(path)["x.weight"].shape == (3, 70) and kind(path)["e"].shape == (0,)


def test_files_of_others_have_no_checksums(tmp_path):
    path = write_tensors(tmp_path / "a.safetensors", TENSORS)
    flip(path, "bias", 0)
    assert open_checkpoint(path)["bias"][0] != TENSORS["bias"][0]
