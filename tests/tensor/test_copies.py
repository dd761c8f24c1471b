"""A packed tensor stays as it is: read-only arrays, copies, pickles, files."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given

import amssim
from amssim import InputError, OutputError, PackedTensor, testing

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {p}": lambda t, p=p: pickle.loads(pickle.dumps(t, p)) for p in (2, 4, 5)},
}


def packed_of(**options):
    weights = np.random.default_rng(0).standard_normal((3, 70))
    return amssim.quantize(weights, "fp5.33", **options)


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("scale_block", [None, 30])
def test_copies_are_equal_and_as_immutable(copied, scale_block):
    packed = packed_of(scale_block=scale_block)
    packed @ np.ones(70)
    again = copied(packed)
    assert again == packed and again is not packed
    assert again.derived == {} and again.derived is not packed.derived
    for array in (again.words, again.scales):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1
    assert np.array_equal(again @ np.ones(70), packed @ np.ones(70))


@given(testing.packed_tensors())
def test_every_tensor_survives_a_pickle(packed):
    assert pickle.loads(pickle.dumps(packed)) == packed


@pytest.mark.parametrize("name", ["scheme", "shape", "words", "scales", "scale_block", "new"])
def test_fields_cannot_be_set_or_deleted(name):
    packed = packed_of()
    with pytest.raises(AttributeError):
        setattr(packed, name, None)
    with pytest.raises(AttributeError):
        delattr(packed, name)


def test_the_arrays_given_stay_writable_for_who_gave_them():
    words, scales = np.zeros((2, 34), np.uint16), np.ones((2, 1), np.float32)
    PackedTensor("fp4.25", (2, 70), words, scales)
    words[0, 0] = scales[0, 0] = 3


def test_strided_parts_are_stored_contiguously():
    words = np.arange(2 * 2 * 34, dtype=np.uint16).reshape(2, 68)[:, ::2]
    packed = PackedTensor("fp4.25", (2, 70), words, np.ones((2, 1), np.float32))
    assert packed.words.flags.c_contiguous and np.array_equal(packed.words, words)


def test_scheme_and_shape_are_normalised():
    words, scales = np.zeros((2, 34), np.uint16), np.ones((2, 1), np.float32)
    packed = PackedTensor("FP4.25", np.array([2, 70]), words, scales, np.int64(70))
    assert packed.scheme == amssim.scheme("fp4.25")
    assert packed.shape == (2, 70) and [type(n) for n in packed.shape] == [int, int]
    assert packed.scale_block is None


def test_a_tensor_equals_no_array():
    packed = packed_of()
    assert packed != packed.words
    assert (packed == 3) is False


@pytest.mark.parametrize("scale_block", [None, 30])
def test_a_file_gives_back_the_tensor(tmp_path, scale_block):
    packed = packed_of(scale_block=scale_block)
    packed.save(tmp_path / "w.safetensors", name="up")
    assert PackedTensor.load(tmp_path / "w.safetensors") == packed
    assert PackedTensor.load(tmp_path / "w.safetensors", name="up") == packed
    with pytest.raises(OutputError):
        packed.save(tmp_path / "w.safetensors")
    packed.save(tmp_path / "w.safetensors", overwrite=True)
    with pytest.raises(InputError, match="up"):
        PackedTensor.load(tmp_path / "w.safetensors", name="up")


WORDS, SCALES = np.zeros((2, 34), np.uint16), np.ones((2, 1), np.float32)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"words": WORDS[0]}, "words must be uint16[2, 34], found uint16[34]"),
        ({"words": None}, "words must be uint16[2, 34], found object[]"),
        ({"words": WORDS.view(np.int16)}, "words must be uint16[2, 34], found int16[2, 34]"),
        ({"scales": SCALES.astype(float)}, "scales must be float32[2, 1], found float64[2, 1]"),
        ({"scales": SCALES.T}, "scales must be float32[2, 1], found float32[1, 2]"),
        ({"scales": -SCALES}, "scales hold a value that is not finite and positive"),
        ({"scales": SCALES * np.inf}, "scales hold a value that is not finite and positive"),
        ({"shape": (2, 70, 1)}, "shape must be (rows, columns), found (2, 70, 1)"),
        ({"shape": (2, float("inf"))}, "shape must be (rows, columns), found (2, inf)"),
        ({"shape": 70}, "shape must be (rows, columns), found 70"),
        ({"shape": ("a", 1)}, "shape must be (rows, columns), found ('a', 1)"),
        ({"shape": (2, 0)}, "shape must have at least one row and one column, found 2x0"),
        ({"shape": (-2, 70)}, "shape must have at least one row and one column, found -2x70"),
        ({"shape": (3, 70)}, "words must be uint16[3, 34], found uint16[2, 34]"),
        ({"shape": (2, 200)}, "words must be uint16[2, 68], found uint16[2, 34]"),
        ({"scale_block": -1}, "scale_block must be a positive number of columns, found -1"),
        ({"scale_block": 69}, "scales must be float32[2, 2], found float32[2, 1]"),
    ],
)
def test_parts_that_contradict_each_other_in_full(change, sentence):
    parts = {"scheme": "fp4.25", "shape": (2, 70), "words": WORDS, "scales": SCALES} | change
    with pytest.raises(InputError) as refused:
        PackedTensor(**parts)
    assert str(refused.value) == sentence
