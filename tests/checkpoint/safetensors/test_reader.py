"""Reading tensors of a file that changes meanwhile, and what of a tensor can be asked for."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from amssim import FormatError, InputError, MismatchError, UnsafePathError
from amssim.checkpoint.safetensors.array_dtypes import ARRAY_DTYPES
from amssim.checkpoint.safetensors.header import read_header
from amssim.checkpoint.safetensors.reader import RowRange, TensorReader
from checkpoint.builders import entry, raw_file

ROWS, COLUMNS = 6, 4
NBYTES = ROWS * COLUMNS


def two_tensors(first="a", second="b"):
    header = {first: entry("U8", [ROWS, COLUMNS], 0, NBYTES),
              second: entry("U8", [ROWS, COLUMNS], NBYTES, 2 * NBYTES)}  # fmt: skip
    return raw_file(header, bytes(range(2 * NBYTES)))


@pytest.fixture
def path(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(two_tensors())
    return tmp_path / "x.safetensors"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def rewrite_keeping_time(path, raw):
    status = path.stat()
    with path.open("r+b") as file:
        file.write(raw)
        file.truncate()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_43_a_header_in_which_names_are_exchanged_with_size_and_time_kept(path):
    header = read_header(path)
    with TensorReader(header) as reader:
        rewrite_keeping_time(path, two_tensors("b", "a"))
        assert path.stat().st_size == header.stamp.size
        with pytest.raises(MismatchError, match=r"x\.safetensors changed while it was read"):
            reader.check_unchanged()
    before = descriptors()
    for work in (lambda: TensorReader(header), header.check_unchanged):
        with pytest.raises(MismatchError, match=r"x\.safetensors changed while it was read"):
            work()
    assert descriptors() == before
    assert read_header(path).digest != header.digest


@pytest.mark.parametrize("size", [-1, 1, 1000])
def test_43_a_file_that_grows_or_shrinks_before_and_while_it_is_read(path, size):
    header = read_header(path)
    with TensorReader(header) as reader:
        os.truncate(path, header.stamp.size + size)
        with pytest.raises(MismatchError, match="changed while it was read: run again"):
            reader.check_unchanged()
    with pytest.raises(MismatchError, match="changed while it was read: run again"):
        TensorReader(header)


def test_44_a_file_that_is_cut_off_between_two_blocks_of_rows(path):
    header = read_header(path)
    with TensorReader(header) as reader:
        assert reader.rows("b", RowRange((), 0, 3)).tobytes() == bytes(range(24, 36))
        end = header.data_range("b")[0] + 14
        os.truncate(path, end)
        for work in (lambda: reader.rows("b", RowRange((), 3, 6)), lambda: reader.raw("b"),
                     lambda: reader.whole("b"), lambda: list(reader.chunks("b"))):  # fmt: skip
            with pytest.raises(FormatError, match=f"x.safetensors ends at byte {end}, expected"):
                work()


def test_a_file_that_another_takes_the_place_of(path, tmp_path):
    header = read_header(path)
    with TensorReader(header) as reader:
        (tmp_path / "y").write_bytes(two_tensors())
        (tmp_path / "y").rename(path)
        assert reader.raw("a") == bytes(range(24))  # of the file that was opened
        with pytest.raises(MismatchError):
            reader.check_unchanged()


def test_34_a_link_in_the_place_of_a_file_is_refused_when_it_is_opened_again(path, tmp_path):
    header = read_header(path, follow_links=False)
    path.rename(tmp_path / "y")
    path.symlink_to("y")
    with pytest.raises(UnsafePathError, match="is a symbolic link"):
        TensorReader(header)


def test_parts_of_a_tensor(path):
    with TensorReader(read_header(path)) as reader:
        for start, stop in [(0, 24), (3, 9), (24, 24)]:
            assert reader.raw("b", start, stop) == bytes(range(24 + start, 24 + stop))
            assert b"".join(reader.chunks("b", start, stop)) == reader.raw("b", start, stop)
        out = np.zeros((2, COLUMNS), np.uint8)
        assert reader.rows("a", RowRange((), 4, 6), out) is out
        assert out.tolist() == [[16, 17, 18, 19], [20, 21, 22, 23]]


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (0, 25), (5, 4)])
def test_bytes_that_a_tensor_does_not_have(path, start, stop):
    with TensorReader(read_header(path)) as reader:
        for work in (reader.raw, reader.chunks):
            with pytest.raises(InputError, match="tensor 'a' has 24 bytes, asked for"):
                work("a", start, stop)


@pytest.mark.parametrize(
    "rows",
    [((), 0, 7), ((), -1, 2), ((), 3, 2), ((0,), 0, 1), ((), 7, 7)],
)
def test_rows_that_a_tensor_does_not_have(path, rows):
    sentence = r"tensor 'a' of shape \[6, 4\] has no rows"
    with TensorReader(read_header(path)) as reader, pytest.raises(InputError, match=sentence):
        reader.rows("a", RowRange(*rows))


@pytest.mark.parametrize(
    "out",
    [np.zeros((2, 3), np.uint8), np.zeros((2, 4), np.int8), np.zeros((4, 4), np.uint8)[::2]],
)
def test_an_array_that_rows_do_not_fit_into(path, out):
    sentence = "rows of tensor 'a' go into a C-contiguous array"
    with TensorReader(read_header(path)) as reader, pytest.raises(InputError, match=sentence):
        reader.rows("a", RowRange((), 0, 2), out)


@pytest.mark.parametrize("name", sorted(ARRAY_DTYPES))
def test_arrays_are_those_of_the_library(tmp_path, name):
    width = ARRAY_DTYPES[name].itemsize
    data = bytes(i % 2 if name == "BOOL" else i for i in range(6 * width))
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw_file({"a": entry(name, [2, 3], 0, len(data))}, data))
    with TensorReader(read_header(path)) as reader:
        array = reader.whole("a")
    assert array.dtype == ARRAY_DTYPES[name] and array.tobytes() == data
    assert array.flags.writeable and array.flags.aligned
    try:
        theirs = load_file(path)["a"]
    except (AttributeError, KeyError, TypeError):  # it has no numpy dtype for some
        return
    assert theirs.dtype == array.dtype and theirs.tobytes() == data


def test_threads_share_one_reader(tmp_path):
    array = np.arange(1 << 16, dtype=np.uint32).reshape(256, 256)
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw_file({"a": entry("U32", [256, 256], 0, array.nbytes)}, array.tobytes()))
    wrong = []

    def read(seed):
        for start in np.random.default_rng(seed).integers(0, 250, 100).tolist():
            found = reader.rows("a", RowRange((), start, start + 6))
            wrong.extend([start] * (not np.array_equal(found, array[start : start + 6])))

    before = descriptors()
    with TensorReader(read_header(path)) as reader:
        threads = [threading.Thread(target=read, args=[seed]) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert descriptors() == before + 1
    assert not wrong and descriptors() == before
