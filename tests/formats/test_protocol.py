"""What holds for every format: stored parts, exact bits, and how bad input is refused."""

from dataclasses import fields
from fractions import Fraction
from math import prod

import numpy as np
import pytest

from amssim import InputError, SchemeError, formats
from amssim.formats.rivals.slim_llm import SlimLlm
from amssim.formats.rivals.solo import Solo

# Every format beside AMS, and one AMS scheme of each kind.
NAMES = ["fp5.33-e2m3", "fp4.25-e2m2", "fp6-e3m2"]
NAMES += [name for name in formats.format_names() if not name.startswith("fp")]
# dB on normal weights, from numpy code of others or ours that shares no line with the package.
NORMAL_DB = {"fp5.33-e2m3": 28.1, "fp4.25-e2m2": 21.5, "fp6-e3m2": 25.6, "mxfp4": 18.8}
NORMAL_DB |= {"mxfp4-searched": 19.1, "nf4": 20.7}
SHAPES = [(1, 1), (3, 5), (5, 70), (4, 256), (2, 131)]


def weights(shape, seed=0):
    return (0.02 * np.random.default_rng(seed).standard_t(5, shape)).astype(np.float32)


def moments(cols, seed=0):
    x = np.random.default_rng(seed).standard_normal((2 * cols, cols))
    return x.T @ x / len(x)


def stored_bits(array, part):
    """Bits that an item of ``array`` needs, checked against what the layout declares."""
    if array.dtype.kind != "u":  # a float, whose width is its dtype's; ml_dtypes' kind is "V"
        return 8 * array.dtype.itemsize
    if Fraction(part.bits).denominator == 1:
        assert array.size == 0 or int(array.max()) < 2 ** int(part.bits)
    return part.bits


def test_every_format_says_what_kind_it_is():
    kinds = {formats.find_format(name).family for name in NAMES}
    assert kinds == {"AMS", "AMS, extended", "minifloat", "integer", "table", "microscaling"}
    assert formats.find_format("fp4.25", scale="mse").family == "AMS, other options"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_is_stored_is_what_is_counted(name, shape):
    form = formats.find_format(name)
    found = form.quantize(weights(shape), moments(shape[1]))
    layout = form.layout(shape)
    assert set(found.parts) == set(layout)
    total = Fraction(0)
    for part_name, part in layout.items():
        array = found.parts[part_name]
        assert array.shape == tuple(part.shape), part_name
        total += array.size * Fraction(stored_bits(array, part))
    assert total / prod(shape) == found.effective_bits == form.bits_per_weight(shape)


@pytest.mark.parametrize("name", NAMES)
def test_formats_are_deterministic_and_decode_their_parts_alone(name):
    w, h = weights((4, 131)), moments(131)
    one, two = (
        formats.find_format(name).quantize(w, h),
        formats.find_format(name).quantize(w.copy(), h.copy()),
    )
    for part in one.parts:
        assert np.array_equal(np.asarray(one.parts[part]), np.asarray(two.parts[part]))
    restored = formats.find_format(name).decode(dict(one.parts), w.shape)
    assert restored.shape == w.shape and np.isfinite(restored).all()
    assert one.dequantize().dtype == np.float32
    assert np.array_equal(restored, one.dequantize())


@pytest.mark.parametrize("name", NAMES)
def test_powers_of_two_pass_through(name):
    form, w = formats.find_format(name), 64 * weights((4, 131), 3)  # no subnormal float16 anywhere
    expected = form.quantize(w, moments(131)).dequantize()
    assert np.array_equal(form.quantize(w * 16, moments(131)).dequantize(), expected * 16)


@pytest.mark.parametrize("name", NAMES)
def test_error_is_that_of_the_bits(name):
    """Against figures of others on normal weights; at least 3.4 dB a bit where there are none."""
    form, shape = formats.find_format(name), (64, 4096) if name in NORMAL_DB else (16, 768)
    w = np.random.default_rng(0).standard_normal(shape)
    error = w - form.quantize(w).dequantize()
    sqnr = 10 * np.log10((w**2).sum() / (error**2).sum())
    assert sqnr > 3.4 * float(form.bits_per_weight(w.shape))
    assert sqnr == pytest.approx(NORMAL_DB.get(name, sqnr), abs=0.15)


@pytest.mark.parametrize("name", NAMES)
def test_zeros_and_constant_rows(name):
    form = formats.find_format(name)
    zeros = form.quantize(np.zeros((2, 40), np.float32)).dequantize()
    w = np.repeat(np.float32([[0.5], [-2.0], [0.0]]), 40, axis=1)
    restored = form.quantize(w, moments(40)).dequantize()
    # a log grid has no zero; it ends at its least power, of a scale of 1 where all is zero
    assert isinstance(form, Solo) or not zeros.any()
    assert np.abs(restored - w)[:2].max() <= 0.2 * 2
    assert isinstance(form, Solo) or not restored[2].any()


LARGEST = np.full((2, 40), np.finfo(np.float32).max, np.float32)
EXTREMES = [LARGEST, LARGEST * np.resize([1, -1], 40).astype(np.float32), 1e-45 * LARGEST[:1]]
EXTREMES += [weights((3, 40)) * np.float32(factor) for factor in (1e-44, 1e-30, 1e30)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("w", EXTREMES, ids=range(len(EXTREMES)))
def test_magnitudes_near_the_limits_stay_finite_or_are_refused(name, w):
    for known in (None, moments(40)):
        try:
            restored = formats.find_format(name).quantize(w, known).dequantize()
        except InputError as error:
            assert "float16 ends at 65504" in str(error)
        else:
            assert np.isfinite(restored).all()


@pytest.mark.parametrize("name", NAMES)
def test_bad_weights_get_a_sentence(name):
    form = formats.find_format(name)
    nan = weights((3, 8))
    nan[1, 2] = np.nan
    with pytest.raises(InputError, match=r"NaN.*1 in all, the first at \[1, 2\]"):
        form.quantize(nan)
    with pytest.raises(InputError, match=r"filled matrix \[rows, cols\], found \[0, 4\]"):
        form.quantize(np.zeros((0, 4), np.float32))
    with pytest.raises(InputError, match=r"found \[4\]"):
        form.quantize(np.zeros(4, np.float32))
    with pytest.raises(InputError, match="floats, found int64"):
        form.quantize(np.zeros((2, 4), np.int64))
    with pytest.raises(InputError, match=r"moments must be \[8\] or \[8, 8\]"):
        form.quantize(weights((3, 8)), np.ones(7))


@pytest.mark.parametrize("bad", [[1, -1], [np.inf, 1]])
def test_bad_moments_get_a_sentence(bad):
    with pytest.raises(InputError, match="finite second moments"):
        formats.find_format("int4").quantize(weights((1, 2)), np.array(bad, np.float64))


def test_moments_that_are_no_real_numbers_and_matrices_without_weights():
    for bad in (np.ones(2) * 1j, np.array(["a", "b"])):
        with pytest.raises(InputError, match="moments must be real numbers"):
            formats.find_format("nfl4").quantize(weights((1, 2)), bad)
    with pytest.raises(InputError, match=r"at least one row and column, found \[0, 4\]"):
        formats.find_format("nf4").bits_per_weight((0, 4))


def test_inputs_that_were_never_seen_are_still_rounded():
    w = weights((4, 60))  # whole groups: padding has a vote in the search, not in feedback
    dead = np.zeros(60)
    for name in NAMES:
        restored = formats.find_format(name).quantize(w, np.diag(dead)).dequantize()
        assert np.array_equal(restored, formats.find_format(name).quantize(w).dequantize()), name


@pytest.mark.parametrize("name", ["int4", "nf4", "squeezellm4", "solo4", "db-llm2", "fineq2"])
def test_weights_beyond_float16_scales_are_refused(name):
    with pytest.raises(InputError, match="float16 ends at 65504: divide them by a power of two"):
        formats.find_format(name).quantize(np.full((1, 32), 1e30, np.float32))


def test_other_float_types_are_widened():
    w = weights((2, 32)).astype(np.float16)
    form = formats.find_format("nf4")
    assert np.array_equal(
        form.quantize(w).dequantize(), form.quantize(w.astype(float)).dequantize()
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_format_says_what_it_is(name):
    form = formats.find_format(name)
    assert (
        form.formula and form.source and form.checked and form.uses in ("none", "diagonal", "full")
    )
    assert isinstance(form.simplified, str)
    assert form == formats.find_format(name) and hash(form) == hash(formats.find_format(name))


def test_names_are_found_with_their_scale_block_and_parameters():
    assert formats.find_format("NF4-g32").scale_block == 32
    assert formats.find_format("opal4-g64").scale_block == 64
    assert formats.find_format("fp4.25-g256", scale="mse").name == "fp4.25-e2m2 mse g256"
    assert formats.find_format("ams-e2m3-k5").scheme.k == 5
    assert len({formats.find_format(name).name for name in formats.format_names()}) == len(
        formats.format_names()
    )


@pytest.mark.parametrize(
    ("name", "parameters", "sentence"),
    [
        ("nf3.5", {}, "unknown format 'nf3.5': choose one of int4"),
        ("nf4", {"grp": 3}, "format 'nf4' has no grp: it has bits, scale_block"),
        ("nf4", {"scale_block": 0}, "scale_block must be a positive whole number, found 0"),
        ("mxfp4", {"element": "e2"}, "unknown element 'e2'"),
        ("fineq2", {"bits": 3}, "fineq takes 2 or 4 bits"),
        ("slim-llm4", {"bits": 9}, "slim-llm takes 2 to 7 bits"),
        ("db-llm2", {"planes": 9}, "db-llm takes up to 6 planes"),
        ("squeezellm4", {"outliers": 1.5}, "outliers must be a share"),
        ("solo4", {"quantile": 2}, "solo takes a quantile from 0 to 1"),
        ("int4", {"bits": 9}, "int takes 2 to 8 bits, found 9"),
        ("mxfp4", {"offsets": ()}, "offsets must have at least one entry"),
        ("nvfp4", {"factors": ()}, "factors must have at least one entry"),
        ("razer", {"specials": ()}, "specials must have at least one entry"),
        (None, {}, "a format's name is text"),
        ("opal4", {"outliers": 128}, "opal takes fewer outliers than a block has weights"),
    ],
)
def test_wrong_names_and_parameters(name, parameters, sentence):
    with pytest.raises(SchemeError, match=sentence):
        formats.find_format(name, **parameters)


FORMULAS = {  # worked out by hand for 512 x 4096
    "fp5.33-e2m3": Fraction(1366 * 16 + 32, 4096),
    "int4": 4 + Fraction(16, 64),
    "int5-asym": 5 + Fraction(21, 64),
    "nf4": 4 + Fraction(16, 64),
    "nfl5": 5 + Fraction(16, 64),
    "mxfp4": 4 + Fraction(8, 32),
    "mxfp6-e3m2": 6 + Fraction(8, 32),
    "nvfp4": 4 + Fraction(8, 16) + Fraction(32, 512 * 4096),
    "razer": 4 + Fraction(8, 16) + Fraction(32, 512 * 4096),
    "squeezellm4": 4 + Fraction(16 * 16, 4096),
    "squeezellm4-sparse": 4 + Fraction(16 * 16, 4096) + Fraction(9437 * 32 + 513 * 32, 512 * 4096),
    "omniquant4": 4 + Fraction(20, 128),
    "signround4": 4 + Fraction(16, 64),
    "slim-llm4": 4 + Fraction(20, 128) + Fraction(8 * 32, 512 * 4096),
    "db-llm2": 2 + Fraction(32, 64),
    "fineq2": Fraction(683 * 14 + 16, 4096),
    "opal4": Fraction(127 * 4 + 8 + 16 + 7, 128),
    "solo4": 4 + Fraction(32, 128),
    "gptq-int4": 4 + Fraction(16, 64),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_bits_by_hand(name):
    assert formats.find_format(name).bits_per_weight((512, 4096)) == FORMULAS[name]


def test_widths_of_slim_llm_keep_their_mean():
    w, form = weights((4, 1000), 5), SlimLlm(bits=3, scale_block=64)
    spread_out = w * np.repeat(2.0 ** np.arange(-10, 10), 50)
    widths = form.quantize(spread_out).parts["widths"]
    assert widths.sum() == 3 * len(widths) and set(widths.tolist()) == {2, 3, 4}


def test_every_class_is_reachable_by_name():
    reached = {type(formats.find_format(name)) for name in formats.format_names()}
    assert all(form.__doc__ and fields(form) for form in reached)
