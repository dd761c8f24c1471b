"""One packed tensor: its JSON form, what the file stores of it, and reading it by rows."""

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amssim import (
    FormatError,
    InputError,
    PackedTensor,
    UnsupportedError,
    quantize,
    scheme,
    schemes,
)
from amssim.checkpoint import quantize_checkpoint, save_packed
from amssim.checkpoint.packed.catalog import read_catalog
from amssim.checkpoint.packed.decode import packed_ranges, read_packed
from amssim.checkpoint.packed.stored import (
    LogicalTensor,
    Packing,
    rows_and_columns,
    stored_specs,
)
from amssim.checkpoint.safetensors import reader as tensor_reader
from amssim.checkpoint.safetensors.header import TensorInfo, read_header
from amssim.checkpoint.safetensors.reader import TensorReader
from amssim.rules import SCALE_RULES, SEARCH_RULES
from checkpoint.builders import weights, write_tensors
from checkpoint.forging import packed_of

any_scheme = st.sampled_from([*schemes(), *map(scheme, ("ams-e3m3-k5", "ams-e1m4-k3"))])
packings = st.builds(
    Packing,
    any_scheme,
    st.none() | st.integers(1, 2**40),
    st.sampled_from([None, *SEARCH_RULES]),
    st.sampled_from([None, *SCALE_RULES]),
    st.sampled_from([None, "BF16", "F16", "F32"]),
)
shapes = st.lists(st.integers(1, 50), min_size=2, max_size=3).map(tuple)


@given(packings)
def test_the_json_form_is_read_back(packing):
    assert Packing.of_dict(packing.as_dict(), "x") == packing


VALID = Packing(scheme("fp4.25"), 32, "adaptive", "absmax", "BF16").as_dict()


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        ({"more": 1}, FormatError, "x must have the fields dtype, scale, scale_block, scheme, se"),
        ({"scale_block": 0}, FormatError, "x: scale_block must be null or positive, found 0"),
        ({"scale_block": True}, FormatError, "x: scale_block must be null or positive, found Tr"),
        ({"scale_block": 1.5}, FormatError, "x: scale_block must be null or positive, found 1.5"),
        ({"scale_block": "1"}, FormatError, "x: scale_block must be null or positive, found '1'"),
        ({"search": "best"}, UnsupportedError, "x: a search or scale rule that this version do"),
        ({"scale": []}, UnsupportedError, "x: a search or scale rule that this version does no"),
        ({"dtype": 16}, FormatError, "x: dtype must be text or null"),
        ({"scheme": None}, UnsupportedError, "x: the scheme None is none that this version kn"),
        ({"scheme": "fp9"}, UnsupportedError, "x: the scheme 'fp9' is none that this version k"),
        ({"scheme": "fp4.25"}, UnsupportedError, "x: the scheme 'fp4.25' is none that this ver"),
    ],
)
def test_a_form_that_is_refused(change, kind, sentence):
    with pytest.raises(kind) as refused:
        Packing.of_dict(VALID | change, "x")
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("value", [None, [], "x", {}, {"scheme": "fp4.25-e2m2"}])
def test_what_is_no_form_at_all(value):
    with pytest.raises(FormatError, match="x must have the fields"):
        Packing.of_dict(value, "x")


@settings(max_examples=50)
@given(any_scheme, shapes, st.none() | st.integers(1, 60))
def test_what_is_stored_is_what_a_packed_tensor_holds(form, shape, block):
    rows, columns = rows_and_columns(shape)
    assert rows * columns == prod(shape)
    matrix = np.random.default_rng(0).standard_normal((rows, columns), np.float32)
    packed = quantize(matrix, form, scale_block=block)
    packing = Packing(packed.scheme, packed.scale_block)
    words, scales, logical = stored_specs("a", shape, packing)
    assert (words.dtype, words.shape) == ("U16", packed.words.shape)
    assert (scales.dtype, scales.shape) == ("F32", packed.scales.shape)
    assert logical.shape == (len(shape),)
    tensor = LogicalTensor.packed("a", shape, packing)
    assert (tensor.nbytes, tensor.weight_count) == (packed.nbytes, matrix.size)
    assert tensor.stored == (words, scales, logical)
    assert tensor.treatment == (form.name, "") and tensor.check_packed() is packing


def test_a_plain_tensor_is_stored_as_it_is():
    tensor = LogicalTensor.plain(TensorInfo("a", "BF16", (2, 3), 0, 12), "embedding")
    assert [tuple(spec) for spec in tensor.stored] == [("a", "BF16", (2, 3))]
    assert tensor.treatment == ("BF16", "embedding") and tensor.nbytes == 12
    with pytest.raises(InputError, match="tensor 'a' is not packed"):
        tensor.check_packed()


@pytest.mark.parametrize("missing", ["search", "scale"])
def test_a_packing_without_its_rules_is_compared_with_nothing(missing):
    packing = Packing.of_dict(VALID | {missing: None}, "x")
    with pytest.raises(UnsupportedError, match=r"tensor 'a' was saved without its search and scal"):
        packing.rules("a")
    assert Packing.of_dict(VALID, "x").rules("a") == ("adaptive", "absmax")


@pytest.mark.parametrize("elements", [1, 10, 25, 1 << 20])
@pytest.mark.parametrize("shape", [(7, 10), (3, 4, 10)])
def test_blocks_of_rows_together_are_the_whole(tmp_path, monkeypatch, shape, elements):
    src = write_tensors(tmp_path / "a.safetensors", {"experts.weight": weights(*shape)})
    quantize_checkpoint(src, tmp_path / "b.safetensors", "fp4.25", scale_block=4)
    ((header, tensor),) = read_catalog(tmp_path / "b.safetensors")
    whole = read_packed(header, tensor)
    assert whole.shape == rows_and_columns(shape)
    monkeypatch.setattr(tensor_reader, "ELEMENTS_AT_ONCE", elements)
    with TensorReader(header) as reader:
        blocks = list(packed_ranges(reader, tensor))
    assert np.array_equal(np.concatenate([p.words for _, p in blocks]), whole.words)
    assert np.array_equal(np.concatenate([p.scales for _, p in blocks]), whole.scales)
    assert all(p.scheme == whole.scheme and p.scale_block == 4 for _, p in blocks)
    rows = [(*r.outer, row) for r, _ in blocks for row in range(r.start, r.stop)]
    assert rows == list(np.ndindex(*shape[:-1]))


odd_names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@settings(max_examples=40)
@given(odd_names, any_scheme, st.integers(1, 4), st.integers(1, 40), st.none() | st.integers(1, 40))
def test_a_tensor_of_any_name_is_saved_and_loaded(
    tmp_path_factory, name, form, rows, columns, block
):
    path = tmp_path_factory.mktemp("file") / "x.safetensors"
    packed = packed_of(form.name, rows, columns, block if block and block < columns else None)
    packed.save(path, name=name)
    assert PackedTensor.load(path) == PackedTensor.load(path, name=name) == packed
    stored = read_header(path).tensors
    assert stored.keys() == {f"{name}_packed", f"{name}_scale", f"{name}_shape"}
    ((_, tensor),) = read_catalog(path)
    assert (tensor.name, tensor.shape, tensor.dtype) == (name, (rows, columns), "")


def test_the_shape_of_a_saved_tensor_is_stored_as_its_dimensions(tmp_path):
    save_packed(packed_of(rows=3, columns=70), tmp_path / "x.safetensors", name="w")
    with TensorReader(read_header(tmp_path / "x.safetensors")) as reader:
        assert reader.whole("w_shape").tolist() == [3, 70]
