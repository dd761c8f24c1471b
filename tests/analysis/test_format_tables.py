"""The tables of docs/FORMAT.md against limits worked out here."""

import re
from fractions import Fraction

import pytest

from amssim.scheme import schemes


@pytest.fixture
def tables():
    import format_tables

    return format_tables


def rows(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_limits_of_elements_are_those_of_their_fields(tables):
    _, *elements = rows(tables.elements())
    for name, bits, codes, bias, largest, normal, subnormal in elements:
        exponent, mantissa = map(int, re.fullmatch(r"E(\d)M(\d)", name).groups())
        assert int(bits) == 1 + exponent + mantissa and int(codes) == 2 ** int(bits)
        assert int(bias) == 2 ** (exponent - 1) - 1
        top = 2 ** (2**exponent - 1 - int(bias)) * (2 - 2.0**-mantissa)
        assert float(largest) == top
        assert float(normal) == 2.0 ** (1 - int(bias))
        assert float(subnormal) == float(normal) / 2**mantissa
    assert {e[0] for e in elements} == {s.minifloat.name.upper() for s in schemes()}


def test_presets_store_their_payload_and_no_more(tables):
    _, *presets = rows(tables.presets())
    assert [p[0].strip("`") for p in presets] == [s.name for s in schemes()]
    for _, general, k, bits, form, weights, words in presets:
        exponent, mantissa, k_of_name = re.fullmatch(r"`ams-e(\d)m(\d)-k(\d+)`", general).groups()
        assert k == k_of_name
        shared = Fraction(1, int(k)) if int(k) > 1 else 1
        assert Fraction(bits) == int(exponent) + int(mantissa) + shared
        assert Fraction(16 * int(words), int(weights)) == Fraction(bits)
        assert form == ("fused" if int(words) == 1 else "block")


def test_a_drawing_shows_the_half_words_that_were_asked_for(tables):
    fence, *head, first, last, end = tables.block("fp4.25-e2m2", [0, 16]).splitlines()
    assert fence == end == "```" and len(head) == 3
    assert first.split()[0] == "0" and last.split() == ["16", *(f"b{g}" for g in range(15, -1, -1))]


def test_every_part_has_its_place_in_the_document(tables):
    import markers

    text = (markers.ROOT / "docs" / "FORMAT.md").read_text()
    assert markers.filled(text, tables.parts()) == text
