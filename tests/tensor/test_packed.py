import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given

from amssim import AmsError, InputError, PackedTensor, SchemeError, quantize, reference, testing


def packed_of(rows=2, columns=70, scheme="fp4.25", **options):
    w = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)
    return quantize(w, scheme, **options)


@given(testing.packed_tensors())
def test_codes_bits_and_weights_are_those_of_the_specification(packed):
    columns = packed.shape[1]
    codes = reference.unpack(packed.words, packed.scheme, columns)
    assert np.array_equal(packed.codes(), codes)
    assert np.array_equal(packed.shared_bits(), codes[:, :: packed.scheme.k] & 1)
    expected = reference.dequantize(packed.words, packed.scales, packed.scheme, columns)
    assert np.array_equal(packed.dequantize().view(np.uint32), expected.view(np.uint32))


def test_sizes():
    packed = packed_of(4, 6400, "fp5.33")
    assert packed.bits_per_weight == Fraction(16, 3)
    assert packed.nbytes == 4 * 2 * 2134 + 4 * 4
    assert packed.effective_bits == Fraction(8 * packed.nbytes, 4 * 6400)
    assert (packed.words.dtype, packed.scales.dtype) == (np.uint16, np.float32)


def test_equality_is_of_every_part():
    packed = packed_of()
    assert packed == packed_of()
    words = packed.words.copy()
    words[1, 3] ^= 1
    assert packed != PackedTensor(packed.scheme, packed.shape, words, packed.scales)
    assert packed != PackedTensor(packed.scheme, packed.shape, packed.words, packed.scales * 2)
    assert packed != packed_of(scale_block=32)
    assert packed != packed.words.tobytes()
    with pytest.raises(TypeError, match="unhashable"):
        hash(packed)


def test_repr_tells_what_it_is():
    assert repr(packed_of(64, 6400, "fp5.33")) == (
        "PackedTensor(fp5.33-e2m3, 64x6400, 5.34 bits/weight, 273 kB)"
    )
    assert "scale block 32" in repr(packed_of(scale_block=32))


def test_it_cannot_be_changed_and_survives_pickling():
    packed = packed_of()
    with pytest.raises(ValueError, match="read-only"):
        packed.words[0, 0] = 1
    with pytest.raises(AttributeError):
        packed.shape = (1, 1)
    packed.derived["x"] = 1
    again = pickle.loads(pickle.dumps(packed))
    assert again == packed and again.derived == {}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", np.float32, np.float64])
def test_dequantize_rounds_the_float32_weights(dtype):
    import ml_dtypes  # noqa: F401 (numpy learns "bfloat16")

    packed = packed_of()
    found = packed.dequantize(dtype)
    assert found.dtype == np.dtype(dtype)
    assert np.array_equal(found, packed.dequantize().astype(dtype))


def test_a_block_as_wide_as_the_row_is_the_row():
    assert packed_of(scale_block=70) == packed_of(scale_block=1000) == packed_of()


WORDS, SCALES = np.zeros((2, 34), np.uint16), np.ones((2, 1), np.float32)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("fp4.25", (2, 70), WORDS.astype(np.int32), SCALES),
            r"words must be uint16\[2, 34\]",
        ),
        (("fp4.25", (2, 70), WORDS[:, :33], SCALES), r"found uint16\[2, 33\]"),
        (
            ("fp4.25", (2, 70), WORDS, SCALES[:, 0]),
            r"float32\[2, 1\], found float32\[2\]",
        ),
        (("fp4.25", (2, 70), WORDS, SCALES, 32), r"scales must be float32\[2, 3\]"),
        (("fp4.25", (2, 70), WORDS, SCALES * 0), "not finite and positive"),
        (("fp4.25", (2, 70), WORDS, SCALES * np.float32(np.nan)), "not finite and positive"),
        (("fp4.25", (2,), WORDS, SCALES), r"shape must be \(rows, columns\), found \(2,\)"),
        (("fp4.25", (0, 70), WORDS, SCALES), "at least one row"),
        (("fp4.25", None, WORDS, SCALES), "shape must be"),
        (("fp4.25", (2, 70), WORDS, SCALES, 0), "scale_block must be a positive"),
        (("fp4.25", (2, 70), WORDS, SCALES, 1.5), "scale_block must be a positive"),
    ],
)
def test_parts_that_contradict_each_other(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        PackedTensor(*arguments)


def test_an_unknown_scheme():
    with pytest.raises(SchemeError, match=r"unknown scheme 'fp4\.25-q'"):
        PackedTensor("fp4.25-q", (2, 70), WORDS, SCALES)
    assert issubclass(SchemeError, AmsError)
