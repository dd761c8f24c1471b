"""Where tensors of a new file lie, and a writer that refuses to leave one incomplete."""

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from amssim import InputError
from amssim.checkpoint.safetensors.header import DTYPE_BITS, TensorInfo, TensorSpec, read_header
from amssim.checkpoint.safetensors.writer import ShardWriter, file_size, header_bytes, place

WHOLE_BYTES = sorted(dtype for dtype, bits in DTYPE_BITS.items() if bits % 8 == 0)

specs = st.builds(
    TensorSpec,
    st.text(max_size=6),
    st.sampled_from(WHOLE_BYTES),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
)
spec_sets = st.lists(specs, unique_by=lambda spec: spec.name, max_size=8)


@given(spec_sets, st.randoms())
def test_tensors_lie_side_by_side_widest_first_and_aligned(chosen, random):
    placed = place(chosen)
    assert [info.start for info in placed] == [0, *[info.stop for info in placed]][: len(placed)]
    widths = [DTYPE_BITS[info.dtype] // 8 for info in placed]
    assert widths == sorted(widths, reverse=True)
    assert all(info.start % width == 0 for info, width in zip(placed, widths, strict=True))
    assert {(i.name, i.dtype, i.shape, i.nbytes) for i in placed} == {
        (*spec, spec.nbytes) for spec in chosen
    }
    random.shuffle(chosen)
    assert place(chosen) == placed


@given(spec_sets)
def test_a_header_is_padded_to_whole_words_and_starts_the_data_aligned(chosen):
    raw = header_bytes(place(chosen), {"a": "b"})
    assert len(raw) % 8 == 0 and int.from_bytes(raw[:8], "little") == len(raw) - 8


def test_a_copied_tensor_keeps_the_size_that_its_dtype_does_not_tell():
    odd = TensorInfo("q", "Q9", (3,), 100, 107)
    placed = place([TensorSpec("q", "Q9", (3,)), TensorSpec("a", "U8", (2,))], [odd])
    assert [(i.name, i.start, i.stop) for i in placed] == [("a", 0, 2), ("q", 2, 9)]


def test_equal_widths_are_in_name_order_whatever_their_dtype():
    dtypes = {"c": "F32", "a": "U32", "b": "I32"}
    placed = place([TensorSpec(name, dtype, (1,)) for name, dtype in dtypes.items()])
    assert [info.name for info in placed] == ["a", "b", "c"]


TENSORS = place([TensorSpec("a", "F32", (2,)), TensorSpec("b", "U8", (3,))])


def test_metadata_are_made_from_the_checksums_of_what_was_written(tmp_path):
    def metadata(crcs):
        return {name: f"{crcs.get(name, 0):08x}" for name in ("a", "b")}

    path, values = tmp_path / "x.safetensors", np.float32([1, 2])
    with ShardWriter(path, TENSORS, metadata) as writer:
        writer.write("b", b"x")
        writer.write("a", values[:1])
        writer.write("b", b"yz")
        writer.write("a", values[1:])
    sums = {"a": zlib.crc32(values.tobytes()), "b": zlib.crc32(b"xyz")}
    assert read_header(path).metadata == {name: f"{crc:08x}" for name, crc in sums.items()}
    assert path.stat().st_size == file_size(TENSORS, metadata)


def test_an_array_is_written_in_c_order_whatever_its_strides(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(3, 4).T
    tensors = place([TensorSpec("a", "F32", (4, 3))])
    with ShardWriter(tmp_path / "x.safetensors", tensors) as writer:
        writer.write("a", values)
    assert np.array_equal(load_file(tmp_path / "x.safetensors")["a"], values)


@pytest.mark.parametrize(
    ("pieces", "sentence"),
    [
        ([], r"tensor 'a' was given 0 bytes, but F32\[2\] takes 8"),
        ([("a", bytes(8)), ("b", b"xy")], r"tensor 'b' was given 2 bytes, but U8\[3\] takes 3"),
        ([("b", b"xyzz")], r"tensor 'b' was given 4 bytes, but U8\[3\] takes 3"),
        ([("a", bytes(8)), ("a", b"x")], r"tensor 'a' was given 9 bytes, but F32\[2\] takes 8"),
    ],
)
def test_a_tensor_is_written_whole_and_no_more(tmp_path, pieces, sentence):
    path = tmp_path / "x.safetensors"
    with pytest.raises(InputError, match=sentence), ShardWriter(path, TENSORS) as writer:
        for name, raw in pieces:
            writer.write(name, raw)
    assert path.read_bytes()[:8] in (b"", bytes(8))  # no header: no reader takes the file


def test_metadata_that_grow_with_the_checksums_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    with (
        pytest.raises(InputError, match=r"the metadata make a header of \d+ bytes, expected"),
        ShardWriter(path, TENSORS, lambda crcs: {"crcs": repr(crcs)}) as writer,
    ):
        writer.write("a", bytes(8))
        writer.write("b", bytes(3))


def test_a_file_that_is_there_is_not_touched(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        ShardWriter(path, TENSORS)
    assert path.read_bytes() == b"mine"


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_an_error_closes_the_file_and_leaves_no_header(tmp_path):
    before = open_files()
    with (
        pytest.raises(KeyboardInterrupt),
        ShardWriter(tmp_path / "x.safetensors", TENSORS) as writer,
    ):
        writer.write("a", bytes(8))
        raise KeyboardInterrupt
    assert open_files() == before
    assert (tmp_path / "x.safetensors").read_bytes()[:8] == bytes(8)


def test_the_system_may_write_less_than_it_was_given(tmp_path, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, raw, at: pwrite(file, raw[:3], at))
    with ShardWriter(tmp_path / "x.safetensors", TENSORS) as writer:
        writer.write("a", np.float32([1, 2]))
        writer.write("b", b"xyz")
    monkeypatch.undo()
    back = load_file(tmp_path / "x.safetensors")
    assert back["a"].tolist() == [1, 2] and back["b"].tobytes() == b"xyz"
