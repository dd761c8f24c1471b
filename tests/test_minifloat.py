import ml_dtypes
import numpy as np
import pytest

from amssim import Minifloat, SchemeError
from oracles import all_minifloats, gfloat_values

OCP = {(2, 3): "float6_e2m3fn", (3, 2): "float6_e3m2fn", (2, 1): "float4_e2m1fn"}


@pytest.mark.parametrize("widths", all_minifloats())
def test_every_code_decodes_as_in_gfloat(widths):
    element = Minifloat(*widths)
    expected = gfloat_values(element)
    assert np.array_equal(
        element.values.view(np.uint32), expected.astype(np.float32).view(np.uint32)
    )


@pytest.mark.parametrize("widths", OCP)
def test_every_code_decodes_as_in_ml_dtypes(widths):
    element = Minifloat(*widths)
    codes = np.arange(2**element.bits, dtype=np.uint8)
    expected = codes.view(getattr(ml_dtypes, OCP[widths])).astype(np.float32)
    assert np.array_equal(element.decode(codes).view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize(
    ("widths", "maximum", "normal", "subnormal"),
    [
        ((2, 3), 7.5, 1, 0.125),
        ((2, 2), 7, 1, 0.25),
        ((2, 1), 6, 1, 0.5),
        ((3, 2), 28, 0.25, 0.0625),
    ],
)
def test_published_limits(widths, maximum, normal, subnormal):
    element = Minifloat(*widths)
    assert (element.max_value, element.min_normal, element.min_subnormal) == (
        maximum,
        normal,
        subnormal,
    )


@pytest.mark.parametrize("widths", all_minifloats())
def test_limits_follow_from_the_table(widths):
    element = Minifloat(*widths)
    positive = element.values[: element.magnitudes]
    assert element.max_value == positive.max() == positive[-1]
    assert element.min_subnormal == positive[1]
    assert element.min_normal == positive[2**element.mantissa_bits]
    assert (np.diff(positive) > 0).all()
    assert np.array_equal(element.values[element.magnitudes :], -positive)
    assert np.signbit(element.values[element.sign_bit])


def test_the_table_is_read_only():
    with pytest.raises(ValueError, match="read-only"):
        Minifloat(2, 3).values[0] = 1


@pytest.mark.parametrize("widths", [(0, 3), (5, 2), (2, 0), (2, 5), (4, 4), (2.0, 3), ("2", 3)])
def test_impossible_widths(widths):
    with pytest.raises(SchemeError, match=r"no minifloat E.*: exponent and mantissa take 1 to 4"):
        Minifloat(*widths)
