"""What the forms tell the AVX2 kernels, against the specification: sizes, order, weights."""

from fractions import Fraction

import numpy as np
import pytest
from cpu_cases import WITHOUT_AVX2
from numba import njit

from amssim import Minifloat, reference
from amssim.cpu import kernels, simd
from amssim.cpu.kernels import VECTOR_FORMS
from amssim.cpu.operands import aligned, float_operand, kernel_order, magnitudes_in_steps
from amssim.layout import layout
from amssim.scheme import FP4_25, FP5_33, PUBLISHED
from oracles import all_minifloats

FORM_IDS = [form.scheme.name for form in VECTOR_FORMS.values()]
EVERY_FORM = pytest.mark.parametrize("form", VECTOR_FORMS.values(), ids=FORM_IDS)


def test_the_published_schemes_have_forms():
    assert set(VECTOR_FORMS) == set(PUBLISHED)
    assert all(form.scheme == scheme for scheme, form in VECTOR_FORMS.items())
    assert len({form.rows for form in VECTOR_FORMS.values()}) == len(VECTOR_FORMS)


@EVERY_FORM
def test_a_tile_is_whole_blocks_and_whole_vectors(form):
    canonical = layout(form.scheme)
    assert form.tile_columns % canonical.block_weights == 0
    assert form.tile_words == form.tile_columns // canonical.block_weights * canonical.block_words
    assert form.tile_columns % 32 == 0
    assert kernels.FLOAT_CHUNK % form.tile_columns == 0
    for chunk in kernels.INTEGER_CHUNK.values():
        assert chunk >= form.tile_columns and chunk % form.tile_columns == 0


@EVERY_FORM
def test_weights_with_the_offset_are_bytes_and_their_sums_fit_32_bits(form):
    steps = magnitudes_in_steps(form.scheme.minifloat)
    assert form.offset == max(steps) and 2 * form.offset < 256
    for kind, largest in (("int8", 127), ("int16", 32512)):
        per_lane = kernels.INTEGER_CHUNK[kind] // 32 * 4
        assert per_lane * 2 * form.offset * largest < 2**31


@EVERY_FORM
@pytest.mark.parametrize("columns", [1, 3, 64, 65, 191, 192, 193, 1000])
def test_vectors_hold_every_column_once(form, columns):
    order = form.vector_columns(columns)
    assert len(order) == -(-columns // form.tile_columns) * form.tile_columns
    assert np.array_equal(np.sort(order), np.arange(len(order)))
    tiles = order.reshape(-1, form.tile_columns) // form.tile_columns
    assert (tiles == np.arange(len(tiles))[:, None]).all()


@EVERY_FORM
@pytest.mark.parametrize("kind", ["float32", "int8", "int16"])
def test_kernel_order_marks_padding(form, kind):
    order = kernel_order(form, 100, kind)
    assert sorted(order[order >= 0]) == list(range(100))
    assert set(order[order < 0]) == {-1}
    assert order.dtype == np.int32


@EVERY_FORM
def test_float_operands_are_padded_with_zeros(form):
    x = np.random.default_rng(0).standard_normal((3, 100)).astype(np.float32)
    operand, order = float_operand(x, form), kernel_order(form, 100, "float32")
    assert np.array_equal(operand[:, order >= 0], x[:, order[order >= 0]])
    assert not operand[:, order < 0].any()
    assert operand.ctypes.data % 64 == 0


@njit
def decode_tiles(rows, row, out):
    for t in range(row.size // kernels.words_of(rows)):
        k = t * kernels.columns_of(rows)
        _store_all(kernels.integers(rows, row, t), out, k)


@simd.intrinsic
def _store_all(typing, vectors, out, k):
    def emit(context, builder, sig, args):
        vectors, out, k = args
        for v, vector in enumerate(simd.cgutils.unpack_tuple(builder, vectors)):
            at = builder.add(k, k.type(32 * v))
            simd.store_vector(context, builder, sig.args[1], out, at, simd.I8X32, vector)
        return context.get_dummy_value()

    return simd.types.none(vectors, out, simd.types.intp), emit


def every_half_word(form):
    """Canonical rows in which every half-word of tops occurs; shared bits are random."""
    words = np.arange(65536, dtype=np.uint16)
    if form.scheme == FP5_33:
        return words[None]
    shared = np.random.default_rng(0).integers(0, 65536, (4096, 1), np.uint16)
    return np.concatenate([words.reshape(4096, 16), shared], axis=1).reshape(1, -1)


@WITHOUT_AVX2
@EVERY_FORM
def test_integers_are_the_weights_of_every_half_word(form):
    words = every_half_word(form)
    columns = words.shape[1] // layout(form.scheme).block_words * layout(form.scheme).block_weights
    rows = form.rows_of(words)
    out = np.zeros(len(form.vector_columns(columns)), np.uint8)
    decode_tiles(rows, rows.words[0], out)
    element = form.scheme.minifloat
    weights = element.decode(reference.unpack(words, form.scheme, columns))[0]
    steps = (weights / element.min_subnormal).astype(int)
    order = kernel_order(form, columns, "int8")
    assert np.array_equal(out[order >= 0].astype(int) - form.offset, steps[order[order >= 0]])


@WITHOUT_AVX2
@EVERY_FORM
def test_halves_are_the_weights_of_every_half_word(form):
    words = every_half_word(form)
    columns = words.shape[1] // layout(form.scheme).block_words * layout(form.scheme).block_weights
    rows = form.rows_of(words)
    out = np.zeros(len(form.vector_columns(columns)), np.float32)
    kernels._decode(rows, 0, out)
    weights = form.scheme.minifloat.decode(reference.unpack(words, form.scheme, columns))[0]
    order = kernel_order(form, columns, "float32")
    assert np.array_equal(out[order >= 0] * np.float32(2**14), weights[order[order >= 0]])


def test_fp425_is_read_where_it_is_stored():
    words = np.zeros((2, 34), np.uint16)
    assert VECTOR_FORMS[FP4_25].rows_of(words).words is words


@pytest.mark.parametrize("widths", all_minifloats())
def test_magnitudes_are_whole_steps(widths):
    element = Minifloat(*widths)
    step = Fraction(element.min_subnormal)
    positive = [Fraction(float(v)) / step for v in element.values[: element.magnitudes]]
    assert magnitudes_in_steps(element) == positive


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32])
@pytest.mark.parametrize("shape", [(1,), (3, 5), (7, 64)])
def test_arrays_begin_at_a_cache_line(shape, dtype):
    for _ in range(5):
        array = aligned(shape, dtype)
        assert array.shape == shape and array.dtype == dtype
        assert array.ctypes.data % 64 == 0 and array.flags.c_contiguous and array.flags.writeable
