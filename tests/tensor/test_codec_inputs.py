"""What quantize, pack and unpack take and refuse."""

import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from amssim import InputError, SchemeError, pack, quantize, unpack

# exact in bfloat16 and float16, so that every dtype holds the same matrix
WEIGHTS = np.random.default_rng(0).integers(-127, 128, (6, 130)).astype(np.float32) / 64


def unaligned(array):
    raw = bytearray(array.nbytes + 1)
    raw[1:] = array.tobytes()
    return np.frombuffer(raw, array.dtype, offset=1).reshape(array.shape)


def read_only(array):
    view = array.view()
    view.flags.writeable = False
    return view


SAME = {
    "float16": WEIGHTS.astype(np.float16),
    "bfloat16": WEIGHTS.astype(ml_dtypes.bfloat16),
    "float64": WEIGHTS.astype(np.float64),
    "big-endian": WEIGHTS.astype(">f4"),
    "Fortran": np.asfortranarray(WEIGHTS),
    "transposed": np.ascontiguousarray(WEIGHTS.T).T,
    "reversed": np.ascontiguousarray(WEIGHTS[::-1, ::-1])[::-1, ::-1],
    "every other": np.repeat(WEIGHTS, 2, axis=1)[:, ::2],
    "rows apart": np.pad(WEIGHTS, ((0, 0), (3, 5)))[:, 3:-5],
    "one row repeated": WEIGHTS,
    "unaligned": unaligned(WEIGHTS),
    "read-only": read_only(WEIGHTS),
    "nested lists": WEIGHTS.tolist(),
}


@pytest.mark.parametrize("weights", SAME.values(), ids=SAME)
def test_dtypes_and_strides_change_nothing(weights):
    assert quantize(weights, "fp4.25") == quantize(WEIGHTS, "fp4.25")


def test_broadcast_and_mapped_rows(tmp_path):
    row = np.broadcast_to(WEIGHTS[:1], WEIGHTS.shape)
    assert quantize(row) == quantize(np.ascontiguousarray(row))
    WEIGHTS.tofile(tmp_path / "weights")
    mapped = np.memmap(tmp_path / "weights", np.float32, "r", shape=WEIGHTS.shape)
    assert quantize(mapped) == quantize(WEIGHTS)


def test_float64_is_rounded_to_float32_once():
    weights = np.random.default_rng(2).standard_normal((9, 77))
    weights[0, 0] = np.float64(np.finfo(np.float32).max) * (1 + 1e-9)  # rounds down
    assert quantize(weights) == quantize(weights.astype(np.float32))


@pytest.mark.parametrize(("dtype", "extra"), [(np.float32, 0.3), ("bfloat16", 1.5)])
def test_memory_stays_near_the_result(dtype, extra):
    weights = np.ones((1024, 2048), dtype)
    quantize(weights[:1], threads=1)
    tracemalloc.start()
    packed = quantize(weights, threads=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < packed.nbytes + extra * 1e6


NAN = np.where(np.arange(12).reshape(3, 4) == 6, np.nan, 1.0)
INFINITE = np.where(np.arange(12).reshape(3, 4) > 9, -np.inf, 1.0)
HUGE = np.where(np.arange(12).reshape(3, 4) == 5, 1e300, 1.0)
FILLED = np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (
            np.ones((3, 4), np.int8),
            r"W must be a matrix of float16, .* float64, found int8\[3, 4\]",
        ),
        (np.ones((3, 4), bool), r"found bool\[3, 4\]"),
        (np.ones((3, 4), complex), r"found complex128\[3, 4\]"),
        (np.ones((3, 4), object), r"found object\[3, 4\]"),
        (np.ones((3, 4), ml_dtypes.float8_e4m3fn), r"found float8_e4m3fn\[3, 4\]"),
        (np.ones((3, 4), np.longdouble), r"found float128\[3, 4\]"),
        ([["1"]], "found str"),
        (None, r"found object\[\]"),
        ([[1.0], [1.0, 2.0]], "W cannot be read as an array: .* inhomogeneous"),
        (np.ones(4), r"W must be a matrix \(rows, columns\), found float64\[4\]"),
        (np.ones((2, 3, 4)), r"found float64\[2, 3, 4\]"),
        (np.ones((0, 4)), r"must have a row and a column at least, found float64\[0, 4\]"),
        (np.ones((4, 0), np.float32), r"found float32\[4, 0\]"),
        (NAN, r"W holds 1 NaN or infinite value, the first, nan, at row 1, column 2$"),
        (NAN.astype("bfloat16"), "the first, nan, at row 1, column 2$"),
        (INFINITE, "W holds 2 NaN or infinite values, the first, -inf, at row 2, column 2$"),
        (
            HUGE,
            r"W holds 1 value beyond float32, .* 3\.40282e\+38, .* 1e\+300, at row 1, column 1:",
        ),
    ],
)
@pytest.mark.parametrize("scale", ["absmax", "mse"])
def test_weights_that_cannot_be_quantized(weights, sentence, scale):
    with pytest.raises(InputError, match=sentence):
        quantize(weights, scale=scale, name="W")


def test_the_first_bad_weight_is_found_across_blocks_and_threads():
    weights = np.ones((700, 600), np.float16)
    weights[699, 1] = weights[650, 599] = np.inf
    with pytest.raises(InputError, match=r"weights holds 2 .* inf, at row 650, column 599"):
        quantize(weights, threads=3)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"scheme": "fp5.34"}, SchemeError, r"5\.34 bits"),
        ({"search": "best"}, SchemeError, "unknown search rule 'best': choose one of adaptive"),
        ({"scale": "max"}, SchemeError, "unknown scale rule 'max'"),
        ({"scale_block": 0}, InputError, "scale_block must be a positive number of columns"),
        ({"threads": 1.5}, InputError, r"threads must be .* found 1\.5"),
        ({"importance": np.ones(3)}, InputError, r"each of 4 columns, found float64\[3\]"),
        ({"importance": np.ones((4, 1))}, InputError, r"found float64\[4, 1\]"),
        ({"importance": [1, 1, -1, 1]}, InputError, "not negative, found -1 at column 2"),
        ({"importance": [1, np.nan, 1, 1]}, InputError, r"finite .* found nan at column 1"),
        ({"importance": [1, 1, 1, 1e39]}, InputError, r"finite .* found 1e\+39 at column 3"),
        ({"importance": [True] * 4}, InputError, r"real numbers, found bool\[4\]"),
        ({"importance": "adc"}, InputError, "importance must be real numbers, found str"),
    ],
)
def test_options_that_make_no_sense(options, error, sentence):
    with pytest.raises(error, match=sentence):
        quantize(FILLED, **options)


CODES = np.uint8([[1, 3, 5, 2], [1, 3, 5, 0]])


@pytest.mark.parametrize(
    ("codes", "sentence"),
    [
        (CODES.astype(np.int64), r"codes must be a matrix of uint8, found int64\[2, 4\]"),
        (CODES[0], r"codes must be a matrix \(rows, columns\), found uint8\[4\]"),
        (CODES[:0], r"codes must have a row and a column at least"),
        (CODES + np.uint8(63), "fp5.33-e2m3 have 6 bits, found 64 at row 0, column 0"),
        (
            CODES ^ np.uint8([[0, 0, 0, 0], [0, 0, 1, 0]]),
            "group of 3 .* found 4 at row 1, column 2",
        ),
    ],
)
def test_codes_that_cannot_be_packed(codes, sentence):
    with pytest.raises(InputError, match=sentence):
        pack(codes, "fp5.33")


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 8, 64])
def test_a_differing_last_bit_is_found_wherever_it_is(k):
    scheme = f"ams-e2m2-k{k}"
    for columns in (k, 2 * k + k // 2 + 1):
        for column in range(columns):
            codes = np.zeros((1, columns), np.uint8)
            codes[0, column] = 1
            alone = column == columns - 1 and column % k == 0
            if k == 1 or alone:
                assert unpack(pack(codes, scheme), scheme, columns).tolist() == codes.tolist()
                continue
            with pytest.raises(InputError, match="share their last bit"):
                pack(codes, scheme)


@pytest.mark.parametrize(
    ("words", "columns", "sentence"),
    [
        (np.zeros((2, 34), np.int16), 70, r"uint16\[rows, 34\], found int16\[2, 34\]"),
        (np.zeros((2, 33), np.uint16), 70, r"words of 70 columns in fp4\.25-e2m2 must be"),
        (np.zeros(34, np.uint16), 70, r"found uint16\[34\]"),
        (np.zeros((0, 34), np.uint16), 70, "must have a row"),
        (np.zeros((2, 34), np.uint16), 0, "columns must be a positive whole number, found 0"),
        (np.zeros((2, 34), np.uint16), "70", "columns must be .* found '70'"),
    ],
)
def test_words_that_cannot_be_unpacked(words, columns, sentence):
    with pytest.raises(InputError, match=sentence):
        unpack(words, "fp4.25", columns)
