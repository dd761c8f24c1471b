"""Decoding against the value tables, and what dequantize can write to."""

import ml_dtypes
import numpy as np
import pytest
from numba import njit

from amssim import InputError, Minifloat, PackedTensor, Scheme, dequantize, pack, quantize
from amssim.codec.elements import _widen, float_of_half
from oracles import all_minifloats


@pytest.mark.parametrize("widths", all_minifloats())
def test_every_code_times_any_scale(widths):
    form = Scheme(Minifloat(*widths), 1)
    scales = np.float32([1, 0.1, 3e38, 2.0**-126, 1.2e-38, 7e-20])[:, None]
    codes = np.tile(np.arange(2**form.minifloat.bits, dtype=np.uint8), (len(scales), 1))
    packed = PackedTensor(form, codes.shape, pack(codes, form), scales)
    with np.errstate(over="ignore"):
        expected = form.minifloat.decode(codes) * scales
    assert np.array_equal(dequantize(packed).view(np.uint32), expected.view(np.uint32))


def test_halves_widen_exactly_with_and_without_the_instruction():
    halves = np.arange(2**16, dtype=np.uint16)
    expected = halves.view(np.float16).astype(np.float32)
    finite = np.isfinite(expected)
    for widen in (_hardware, njit(_software)):
        found = np.empty(halves.size, np.float32)
        widen(halves, found)
        assert np.array_equal(found.view(np.uint32)[finite], expected.view(np.uint32)[finite])


@njit
def _hardware(halves, floats):
    for i in range(halves.size):
        floats[i] = float_of_half(halves[i])


_widened = njit(_widen)


def _software(halves, floats):
    for i in range(halves.size):
        floats[i] = _widened(halves[i])


def packed_of(rows=7, columns=130, **options):
    rng = np.random.default_rng(1)
    return quantize(rng.standard_normal((rows, columns)).astype(np.float32), "fp4.25", **options)


DTYPES = ["float16", "bfloat16", ml_dtypes.bfloat16, np.float16, float, np.dtype("float32")]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes_are_rounded_from_float32(dtype):
    packed = packed_of(scale_block=17)
    found = dequantize(packed, dtype)
    assert found.dtype == np.dtype(dtype)
    assert np.array_equal(found, dequantize(packed).astype(dtype))


def test_float16_overflows_to_infinity_without_a_warning():
    packed = quantize(np.float32([[1e6, -1e6, 0]]))
    assert dequantize(packed, np.float16)[0, :2].tolist() == [np.inf, -np.inf]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_out_may_have_any_strides(dtype):
    packed = packed_of()
    expected = dequantize(packed, dtype)
    room = np.zeros((14, 260), dtype)
    odd = np.frombuffer(bytearray(1 + expected.nbytes), dtype, offset=1).reshape(expected.shape)
    for out in (np.empty_like(expected), room[::2, ::-2], np.asfortranarray(expected * 0), odd):
        assert dequantize(packed, dtype, out=out) is out
        assert np.array_equal(out, expected)
    assert not room[1::2].any() and not room[:, ::2].any()


def read_only():
    out = np.empty((7, 130), np.float32)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"dtype": np.int8},
            "dtype must be float16, bfloat16, float32 or float64, found <class 'numpy.int8'>",
        ),
        ({"dtype": "bf16"}, "float64, found 'bf16'"),
        ({"dtype": None}, "found None"),
        ({"dtype": ">f4"}, "found '>f4'"),
        ({"out": np.empty((7, 129), np.float32)}, r"float32\[7, 130\], found float32\[7, 129\]"),
        ({"out": np.empty((7, 130))}, r"out must be float32\[7, 130\], found float64\[7, 130\]"),
        ({"out": [1]}, "found list"),
        ({"out": read_only()}, "out must be writable, found a read-only array"),
        ({"threads": 0}, "threads must be a positive whole number or None, found 0"),
    ],
)
def test_what_cannot_be_written(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        dequantize(packed_of(), **arguments)


def test_what_is_not_packed():
    with pytest.raises(InputError, match="dequantize takes a PackedTensor, found ndarray"):
        dequantize(np.ones((2, 3)))
