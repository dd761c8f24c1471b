"""A file that is written in any order, by any thread, and again without harm."""

import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from amssim import InputError
from amssim.checkpoint.safetensors.header import TensorSpec, read_header
from amssim.checkpoint.safetensors.writer import ShardFile, file_size, place, write_file
from checkpoint.builders import new_file

TENSORS = place([TensorSpec("a", "F32", (2,)), TensorSpec("b", "U8", (3,))])
CONTENT = {"a": np.float32([1, 2]), "b": b"xyz"}
SUMS = {"a": zlib.crc32(np.float32([1, 2]).tobytes()), "b": zlib.crc32(b"xyz")}


def named(crcs):
    return {name: f"{crcs.get(name, 0):08x}" for name in ("a", "b")}


@given(st.lists(st.sampled_from([("a", 0, 4), ("a", 4, 8), ("b", 0, 1), ("b", 1, 3)])))
def test_parts_in_any_order_and_as_often_as_one_likes(tmp_path_factory, order):
    path = tmp_path_factory.mktemp("f") / "x.safetensors"
    raws = {"a": CONTENT["a"].tobytes(), "b": CONTENT["b"]}
    everything = [("a", 0, 8), ("b", 0, 3)]
    with ShardFile(new_file(path), path, TENSORS, named) as file:
        for name, start, stop in order + everything + order:
            file.write(name, start, raws[name][start:stop])
        file.write_header(SUMS)
    whole = path.with_name("whole.safetensors")
    write_file(new_file(whole), whole, TENSORS, CONTENT, named)
    assert path.read_bytes() == whole.read_bytes()
    assert load_file(path)["a"].tolist() == [1, 2] and load_file(path)["b"].tobytes() == b"xyz"
    assert read_header(path).metadata == {name: f"{crc:08x}" for name, crc in SUMS.items()}
    assert path.stat().st_size == file_size(TENSORS, named)


def test_many_threads_write_one_file(tmp_path):
    path, rows = tmp_path / "x.safetensors", np.arange(4096, dtype=np.uint32).reshape(64, 64)
    tensors = place([TensorSpec("a", "U32", (64, 64))])
    with (
        ShardFile(new_file(path), path, tensors) as file,
        ThreadPoolExecutor(8) as pool,
    ):
        list(pool.map(lambda row: file.write("a", 256 * row, rows[row]), range(64)))
        file.write_header({})
    assert np.array_equal(load_file(path)["a"], rows)


def test_a_file_begun_before_is_continued(tmp_path):
    path = tmp_path / "x.safetensors"
    with ShardFile(new_file(path), path, TENSORS) as file:
        file.write("a", 0, CONTENT["a"])
    assert path.stat().st_size == file_size(TENSORS)
    with ShardFile(os.open(path, os.O_RDWR), path, TENSORS) as file:
        file.write("b", 0, b"xyz")
        file.write_header({})
    assert load_file(path)["a"].tolist() == [1, 2]


def test_an_array_is_written_in_c_order_whatever_its_strides(tmp_path):
    path, values = tmp_path / "x.safetensors", np.arange(12, dtype=np.float32).reshape(3, 4).T
    tensors = place([TensorSpec("a", "F32", (4, 3))])
    write_file(new_file(path), path, tensors, {"a": values})
    assert np.array_equal(load_file(path)["a"], values)


@pytest.mark.parametrize(
    ("name", "start", "raw"), [("a", 0, bytes(9)), ("a", 5, bytes(4)), ("b", -1, b"x")]
)
def test_nothing_is_written_outside_a_tensor(tmp_path, name, start, raw):
    path = tmp_path / "x.safetensors"
    with (
        ShardFile(new_file(path), path, TENSORS) as file,
        pytest.raises(InputError, match=rf"bytes {start} to {start + len(raw)} were given of"),
    ):
        file.write(name, start, raw)
    assert not any(path.read_bytes())


def test_a_whole_file_is_given_whole_tensors(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(InputError, match=r"tensor 'b' was given 2 bytes, but U8\[3\] takes 3"):
        write_file(new_file(path), path, TENSORS, CONTENT | {"b": b"xy"})
    assert not any(path.read_bytes()[:8])  # no header: no reader takes the file


def test_metadata_of_another_length_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    with (
        ShardFile(new_file(path), path, TENSORS) as file,
        pytest.raises(InputError, match=r"the metadata make a header of \d+ bytes, expected"),
    ):
        file.write_header({}, lambda crcs: {"format": "another" * 9})
    assert not any(path.read_bytes())


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_an_error_closes_the_file_and_leaves_no_header(tmp_path):
    before, path = open_files(), tmp_path / "x.safetensors"
    with pytest.raises(KeyboardInterrupt), ShardFile(new_file(path), path, TENSORS) as file:
        file.write("a", 0, bytes(8))
        raise KeyboardInterrupt
    assert open_files() == before
    assert path.read_bytes()[:8] == bytes(8)


def test_the_system_may_write_less_than_it_was_given(tmp_path, monkeypatch):
    pwrite, path = os.pwrite, tmp_path / "x.safetensors"
    monkeypatch.setattr(os, "pwrite", lambda file, raw, at: pwrite(file, raw[:3], at))
    write_file(new_file(path), path, TENSORS, CONTENT)
    monkeypatch.undo()
    back = load_file(path)
    assert back["a"].tolist() == [1, 2] and back["b"].tobytes() == b"xyz"
