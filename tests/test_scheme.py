from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given

from amssim import Minifloat, Scheme, SchemeError, scheme, schemes, testing

FP533 = Scheme(Minifloat(2, 3), 3)
FP425 = Scheme(Minifloat(2, 2), 4)


@pytest.mark.parametrize(
    "spec",
    ["fp5.33", "FP5.33", " fp5.33-e2m3 ", "FP5.33-E2M3", "ams-e2m3-k3", "fp5.333", FP533, 5.33],
)
def test_spellings_of_fp533(spec):
    assert scheme(spec) == FP533


@pytest.mark.parametrize("bits", [5.33, 5.333, 16 / 3, Fraction(16, 3), "5.33", np.float32(5.33)])
def test_bits_of_fp533(bits):
    assert scheme(bits=bits) == FP533


def test_fp425():
    assert scheme("fp4.25") == scheme(bits=4.25) == scheme("ams-e2m2-k4") == FP425
    assert FP425.bits == Fraction(17, 4)


def test_presets_are_those_of_the_format():
    names = [s.name for s in schemes()]
    assert len(names) == len(set(names)) == 19
    for element, ks in (("e2m3", 5), ("e2m2", 5), ("e2m1", 5), ("e3m2", 4)):
        assert sum(n.endswith(element) for n in names) == ks
    assert {"fp6-e2m3", "fp5-e2m2", "fp4-e2m1", "fp4.5-e2m2", "fp5.125-e2m3"} <= set(names)


@given(testing.schemes(max_k=64))
def test_every_name_reads_back(s):
    assert scheme(s.name) == s
    assert scheme(f"ams-{s.minifloat.name}-k{s.k}") == s
    assert s.bits == s.minifloat.bits - 1 + Fraction(1, s.k)


def test_schemes_sort_and_hash():
    assert len({*schemes(), FP533, FP425}) == 19
    assert sorted(schemes())[0].minifloat == Minifloat(2, 1)


@pytest.mark.parametrize(
    ("spec", "candidates"),
    [
        ("fp6", "fp6-e2m3, fp6-e3m2"),
        ("fp5.5", "fp5.5-e2m3, fp5.5-e3m2"),
        ("fp5.02-e2m3", "ams-e2m3-k"),
    ],
)
def test_an_ambiguous_spelling_lists_the_candidates(spec, candidates):
    with pytest.raises(SchemeError, match=f"is ambiguous: choose one of .*{candidates}"):
        scheme(spec)


HUGE = "9" * 5000  # more digits than Python reads


@pytest.mark.parametrize(
    "spec",
    ["fp7", "", "e2m3-k3", "fp5.4-e2m3", "int4", "ams-e2m3-k3-x", f"fp{HUGE}", f"ams-e2m3-k{HUGE}"],
)
def test_an_unknown_spelling_lists_the_choices(spec):
    with pytest.raises(SchemeError, match=r"fp5\.33-e2m3.*or spell any other as ams-e2m3-k3"):
        scheme(spec)


@pytest.mark.parametrize("bits", [0, 17, -1, float("nan"), float("inf"), "many", None, [4]])
def test_impossible_bits(bits):
    with pytest.raises(SchemeError):
        scheme(bits=bits)


def test_name_and_bits_together():
    with pytest.raises(SchemeError, match="either a name or bits"):
        scheme("fp6", bits=6)


@pytest.mark.parametrize("k", [0, 65, -1, 2.0, "3"])
def test_impossible_group_sizes(k):
    with pytest.raises(SchemeError, match="a group has 1 to 64 weights"):
        Scheme(Minifloat(2, 3), k)


def test_the_function_survives_the_import_of_its_module():
    import amssim.tensor.packed

    assert amssim.scheme("fp5.33") == FP533
