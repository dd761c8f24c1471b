"""packed @ x, x @ packed.T and gemv are what NumPy makes of the restored weights."""

from itertools import product

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import amssim
from amssim import InputError, testing

ROWS, COLUMNS = 5, 83


def packed_of(scheme="fp5.33", rows=ROWS, columns=COLUMNS, **options):
    weights = np.random.default_rng(0).standard_normal((rows, columns))
    return amssim.quantize(weights, scheme, **options)


def vectors(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def close(found, packed, x_columns_first):
    """Whether products are near the exact ones with the restored weights."""
    weights = packed.dequantize(np.float64)
    x = np.asarray(x_columns_first, np.float64)
    room = 60 * 2.0**-24 * (np.abs(weights) @ np.abs(x)) + 1e-30
    return (np.abs(found - weights @ x) <= room).all()


@pytest.mark.parametrize("scheme", ["fp5.33", "fp4.25", "fp6-e3m2"])
def test_a_vector(scheme):
    packed, x = packed_of(scheme), vectors(COLUMNS)
    for found in (packed @ x, x @ packed.T, amssim.gemv(packed, x)):
        assert found.shape == (ROWS,) and found.dtype == np.float32
        assert close(found, packed, x)
    assert np.array_equal(packed @ x, x @ packed.T)


@pytest.mark.parametrize("batch", [0, 1, 2, 3, ROWS, COLUMNS])
def test_a_batch(batch):
    packed, x = packed_of("fp4.25"), vectors(batch, COLUMNS)
    found = amssim.gemv(packed, x)
    assert found.shape == (batch, ROWS) and found.flags.c_contiguous
    assert close(found.T, packed, x.T)
    assert np.array_equal(x @ packed.T, found)
    assert np.array_equal(packed @ x.T, found.T)


@given(st.data())
def test_shapes_are_those_of_numpy(data):
    packed = data.draw(testing.packed_tensors())
    dense = packed.dequantize(np.float64)
    x = vectors(packed.shape[1], data.draw(st.integers(1, 4)))
    assert (packed @ x).shape == (dense @ x).shape
    assert (x.T @ packed.T).shape == (x.T @ dense.T).shape
    assert (x[:, 0] @ packed.T).shape == (x[:, 0] @ dense.T).shape


@pytest.mark.parametrize("scale_block", [None, 16])
def test_a_row_of_a_batch_has_the_bits_that_it_has_alone(scale_block):
    packed, x = packed_of("fp4.25", scale_block=scale_block), vectors(7, COLUMNS)
    together = x @ packed.T
    for row, out in zip(x, together, strict=True):
        assert np.array_equal(row @ packed.T, out)
        assert np.array_equal(row[None] @ packed.T, out[None])
    assert np.array_equal(x[[4, 2]] @ packed.T, together[[4, 2]])


def test_a_square_matrix_is_multiplied_from_the_right_side():
    packed = packed_of(rows=4, columns=4)
    x = vectors(4, 4)
    assert not np.array_equal(packed @ x, x @ packed.T)
    assert close(packed @ x, packed, x)
    assert close((x @ packed.T).T, packed, x.T)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_operands_of_any_dtype_and_stride_are_read_as_float32(dtype):
    packed = packed_of("fp4.25")
    x = vectors(6, 2 * COLUMNS).astype(dtype)[::-2, ::2]
    wanted = amssim.gemv(packed, np.ascontiguousarray(x).astype(np.float32))
    for operand in (x, np.asfortranarray(x), np.ascontiguousarray(x)):
        assert np.array_equal(amssim.gemv(packed, operand), wanted)
        assert np.array_equal(operand @ packed.T, wanted)
        assert np.array_equal(packed @ operand.T, wanted.T)


def test_lists_are_arrays():
    packed = packed_of(rows=2, columns=3)
    x = [[1.0, 2.0, 3.0], [0.0, 1.0, 0.5]]
    wanted = amssim.gemv(packed, np.float32(x))
    assert np.array_equal(x @ packed.T, wanted)
    assert np.array_equal(amssim.gemv(packed, x), wanted)


def test_float64_beyond_float32_is_infinite_and_no_warning():
    found = packed_of(rows=1, columns=1) @ np.float64([1e39])
    assert np.isinf(found).all()


def test_the_transpose_is_a_view():
    packed = packed_of()
    view = packed.T
    assert view.shape == (COLUMNS, ROWS)
    assert view.T is packed
    assert repr(view) == f"{packed!r}.T"


@pytest.mark.parametrize(
    ("multiply", "said"),
    [
        (lambda packed, x: x @ packed, r"x @ packed has no meaning: write x @ packed\.T"),
        (lambda packed, x: packed.T @ x, r"packed\.T @ x has no meaning: write x @ packed\.T"),
    ],
)
def test_products_on_the_other_side_are_refused_in_a_sentence(multiply, said):
    with pytest.raises(InputError, match=said):
        multiply(packed_of(), np.ones((ROWS, ROWS), np.float32))


@pytest.mark.parametrize(
    "combine",
    [
        lambda packed, x: x * packed,
        lambda packed, x: packed.T + x,
        lambda packed, x: np.add(x, packed.T),
    ],
)
def test_arithmetic_on_packed_weights_is_a_type_error(combine):
    with pytest.raises(TypeError):
        combine(packed_of(), np.ones((ROWS, ROWS), np.float32))


SENTENCES = [
    (np.zeros(4), "x must have shape (3,) or {batch} for a matrix with 3 columns, found (4,)"),
    (
        np.zeros((2, 2)),
        "x must have shape (3,) or {batch} for a matrix with 3 columns, found (2, 2)",
    ),
    (
        np.zeros((3, 1, 3)),
        "x must have shape (3,) or {batch} for a matrix with 3 columns, found (3, 1, 3)",
    ),
    (np.float32(1), "x must have shape (3,) or {batch} for a matrix with 3 columns, found ()"),
    (
        np.arange(3),
        "x must be float16, bfloat16, float32, float64, found int64: convert it first",
    ),
    (
        np.zeros(3, complex),
        "x must be float16, bfloat16, float32, float64, found complex128: convert it first",
    ),
]
WAYS = {
    "(batch, 3)": lambda packed, x: amssim.gemv(packed, x),
    "(3, batch)": lambda packed, x: packed @ x,
}


@pytest.mark.parametrize(("batch", "case"), list(product(WAYS, SENTENCES)))
def test_operands_that_do_not_fit(batch, case):
    x, sentence = case
    with pytest.raises(InputError) as refused:
        WAYS[batch](packed_of(rows=2, columns=3), x)
    assert str(refused.value) == sentence.format(batch=batch)


def test_uneven_rows_are_no_array():
    with pytest.raises(InputError, match=r"^x cannot be read as an array: "):
        packed_of() @ [[1.0], [1.0, 2.0]]


@pytest.mark.parametrize("activations", ["int8", "int16"])
@pytest.mark.parametrize("bad", [np.nan, -np.inf, 1e39])
def test_integer_activations_need_finite_numbers(activations, bad):
    x = np.zeros((3, COLUMNS))
    x[1, 40] = x[2, 3] = bad
    with pytest.raises(InputError) as refused:
        amssim.gemv(packed_of(), x, activations=activations)
    assert str(refused.value) == (
        "x holds NaN, Inf or numbers beyond float32 (count 2, the first in row 1, column 40): "
        f"{activations} activations need finite numbers"
    )


def test_options_are_named():
    packed, x = packed_of(), vectors(COLUMNS)
    with pytest.raises(TypeError, match="positional"):
        amssim.gemv(packed, x, "int8")
    with pytest.raises(InputError) as refused:
        amssim.gemv(packed, x, activations="int4")
    assert str(refused.value) == ("unknown activations 'int4': choose one of float32, int16, int8")


@pytest.mark.parametrize("matrix", [np.eye(3), None, "fp5.33"])
def test_only_packed_tensors_are_multiplied(matrix):
    with pytest.raises(InputError) as refused:
        amssim.gemv(matrix, np.zeros(3))
    kind = type(matrix).__name__
    assert str(refused.value) == (
        f"the matrix must be a PackedTensor, found {kind}: quantize it first"
    )
