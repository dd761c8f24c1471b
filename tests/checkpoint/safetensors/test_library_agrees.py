"""What the safetensors library writes we read alike, and what we write it reads alike."""

import json
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import deserialize, safe_open
from safetensors.numpy import save

from amssim import UnsupportedError
from amssim.checkpoint.safetensors.header import TensorSpec, read_header
from amssim.checkpoint.safetensors.reader import RowRange, TensorReader, row_ranges
from amssim.checkpoint.safetensors.writer import ShardFile, file_size, place
from checkpoint.builders import entry, new_file, raw_file

#: The dtypes that the library takes from numpy, and their names in a header.
DTYPES = {
    "BOOL": np.bool_,
    "U8": np.uint8,
    "I8": np.int8,
    "U16": np.uint16,
    "I16": np.int16,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "U32": np.uint32,
    "I32": np.int32,
    "F32": np.float32,
    "U64": np.uint64,
    "I64": np.int64,
    "F64": np.float64,
}
#: One dtype of each width, which leaves the library no order of its own among equal widths.
WIDTHS = ("U8", "BF16", "F32", "I64")

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(
    lambda name: name != "__metadata__"
)
shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)


def of_bytes(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """An array of random bytes; a bool is 0 or 1."""
    kind = np.dtype(DTYPES[dtype])
    count = int(np.prod(shape, dtype=int)) * kind.itemsize
    raw = np.random.default_rng(seed).integers(0, 2 if dtype == "BOOL" else 256, count, np.uint8)
    return raw.view(kind).reshape(shape)


@st.composite
def tensor_sets(draw, dtypes=tuple(DTYPES), names=names):
    chosen = draw(st.lists(names, unique=True, max_size=6))
    return {
        name: of_bytes(draw(st.sampled_from(dtypes)), draw(shapes), draw(st.integers(0, 99)))
        for name in chosen
    }


def name_of(array: np.ndarray) -> str:
    return next(name for name, kind in DTYPES.items() if np.dtype(kind) == array.dtype)


def specs_of(tensors: dict[str, np.ndarray]) -> list[TensorSpec]:
    return [TensorSpec(name, name_of(a), a.shape) for name, a in tensors.items()]


def write(path: Path, tensors: dict[str, np.ndarray], piece: int = 1 << 20) -> None:
    """Write with our writer, ``piece`` bytes of each tensor in turn."""
    raws = {name: array.tobytes() for name, array in tensors.items()}
    path.unlink(missing_ok=True)
    with ShardFile(new_file(path), path, place(specs_of(tensors))) as file:
        for start in range(0, max(map(len, raws.values()), default=0), piece):
            for name, raw in raws.items():
                file.write(name, min(start, len(raw)), raw[start : start + piece])
        file.write_header({})


@settings(max_examples=60)
@given(tensor_sets(), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_we_read_what_the_library_writes(tensors, metadata):
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        # The library writes no JSON for empty metadata, so they are left out then.
        path.write_bytes(save(tensors, metadata or None))
        header, raw = read_header(path), path.read_bytes()
        assert header.metadata == metadata and header.unknown_fields == ()
        assert header.tensors.keys() == tensors.keys()
        for name, array in tensors.items():
            info, (start, stop) = header.tensors[name], header.data_range(name)
            assert (info.dtype, info.shape) == (name_of(array), array.shape)
            assert (info.count, info.nbytes) == (array.size, array.nbytes)
            assert raw[start:stop] == array.tobytes()
            with TensorReader(header) as reader:
                whole = reader.whole(name)
            assert whole.dtype == array.dtype and whole.tobytes() == array.tobytes()


@settings(max_examples=60)
@given(tensor_sets(), st.integers(1, 40))
def test_the_library_reads_what_we_write(tensors, piece):
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        write(path, tensors, piece)
        assert path.stat().st_size == file_size(place(specs_of(tensors)))
        back = dict(deserialize(path.read_bytes()))
        assert back.keys() == tensors.keys()
        for name, array in tensors.items():
            assert (back[name]["dtype"], tuple(back[name]["shape"])) == (
                name_of(array),
                array.shape,
            )
            assert bytes(back[name]["data"]) == array.tobytes()
        with safe_open(path, "np") as file:
            assert file.metadata() == {"format": "pt"}


ascii_names = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1)


@settings(max_examples=60)
@given(tensor_sets(WIDTHS, ascii_names.filter(lambda name: name != "__metadata__")))
def test_the_bytes_are_those_of_the_library(tensors):
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        write(path, tensors)
        assert path.read_bytes() == save(tensors, {"format": "pt"})


@given(tensor_sets())
def test_our_order_of_tensors_has_its_widths_in_the_order_of_the_library(tensors):
    raw = save(tensors)
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + length])
    theirs = [np.dtype(DTYPES[e["dtype"]]).itemsize for e in header.values()]
    ours = [np.dtype(DTYPES[info.dtype]).itemsize for info in place(specs_of(tensors))]
    assert ours == theirs


@settings(max_examples=60)
@given(st.data(), st.sampled_from(["BF16", "F16", "F32", "U16", "I64"]))
def test_rows_are_those_of_the_array(data, dtype):
    outer = data.draw(st.lists(st.integers(1, 4), max_size=1))
    rows, columns = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 5))
    array = of_bytes(dtype, (*outer, rows, columns), 1)
    start = data.draw(st.integers(0, rows - 1))
    stop = data.draw(st.integers(start + 1, rows))
    matrix = tuple(data.draw(st.integers(0, n - 1)) for n in outer)
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        write(path, {"a": array})
        with TensorReader(read_header(path)) as reader:
            part = reader.rows("a", RowRange(matrix, start, stop))
            assert part.dtype == array.dtype
            assert part.tobytes() == array[matrix][start:stop].tobytes()
            out = np.empty_like(part)
            assert reader.rows("a", RowRange(matrix, start, stop), out) is out
            assert out.tobytes() == part.tobytes()


@given(st.lists(st.integers(1, 6), min_size=2, max_size=3), st.integers(1, 40))
def test_ranges_cover_a_tensor_in_row_order(shape, elements):
    from amssim.checkpoint.safetensors import reader

    before, reader.ELEMENTS_AT_ONCE = reader.ELEMENTS_AT_ONCE, elements
    try:
        ranges = list(row_ranges(tuple(shape)))
    finally:
        reader.ELEMENTS_AT_ONCE = before
    covered = [(*r.outer, row) for r in ranges for row in range(r.start, r.stop)]
    assert covered == list(np.ndindex(*shape[:-1]))
    assert all(r.first == (*r.outer, r.start) for r in ranges)
    assert all((r.stop - r.start) * shape[-1] <= max(elements, shape[-1]) for r in ranges)


@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "Q9"])
def test_a_dtype_that_numpy_does_not_have_is_refused_by_name(tmp_path, dtype):
    path = tmp_path / "x.safetensors"
    nbytes = 2 if dtype == "F4" else 3
    path.write_bytes(raw_file({"a": entry(dtype, [4], 0, nbytes)}, bytes(nbytes)))
    with TensorReader(read_header(path)) as reader:
        with pytest.raises(UnsupportedError, match=rf"tensor 'a' is {dtype}, which no array holds"):
            reader.whole("a")
        assert reader.raw("a") == bytes(nbytes)
