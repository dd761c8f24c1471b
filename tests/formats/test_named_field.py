"""Fields that take a thing or its name."""

import pickle
from dataclasses import KW_ONLY, asdict, dataclass, fields, replace

import pytest

from amssim.formats.ams.ams import Ams
from amssim.formats.named_field import NamedField
from amssim.formats.rivals.microscaling import Microscaling
from amssim.minifloat import Minifloat
from amssim.quality.sharing.options import SharingOptions
from amssim.scheme import FP4_25


def as_number(value):
    return {"one": 1, "two": 2}.get(value, value)


@dataclass(frozen=True)
class Pair:
    first: NamedField[int] = NamedField(as_number)
    _: KW_ONLY
    second: NamedField[int] = NamedField(as_number, default="two")


def test_names_are_found_and_things_kept():
    assert (Pair("one").first, Pair(7).first, Pair("one").second) == (1, 7, 2)
    assert Pair("one") == Pair(1) and hash(Pair("one")) == hash(Pair(1))
    assert Pair("two") != Pair(1)


def test_dataclasses_work_as_usual():
    assert asdict(Pair("one")) == {"first": 1, "second": 2}
    assert replace(Pair("one"), second="one") == Pair(1, second=1)
    assert repr(Pair("one")) == "Pair(first=1, second=2)"
    assert pickle.loads(pickle.dumps(Pair("one"))) == Pair(1)
    assert [f.name for f in fields(Pair)] == ["first", "second"]


def test_a_field_without_a_default_must_be_given():
    with pytest.raises(TypeError, match="first"):
        Pair()
    with pytest.raises(TypeError, match="scheme"):
        Ams()


def test_frozen_fields_stay():
    with pytest.raises(AttributeError):
        Pair(1).first = 2


@pytest.mark.parametrize("kind", [Ams, SharingOptions])
def test_schemes_by_name_are_the_schemes(kind):
    assert kind("fp4.25") == kind(FP4_25) and kind("fp4.25").scheme == FP4_25
    with pytest.raises(TypeError):
        kind("fp4.25", "adaptive")  # options have names


def test_elements_by_name():
    assert Microscaling().element == Minifloat(2, 1)
    assert Microscaling("e3m2").element == Minifloat(3, 2)
