"""Shipped profiles are complete and physical; broken ones are refused with the field's name."""

import copy
import json
import math

import pytest

from amssim.errors import FormatError, InputError
from amssim.hardware import FIELDS, from_json, names, profile

REQUIRED = {
    *("v100", "t4", "a100-40gb", "a100-80gb", "a10", "l4", "l40s", "rtx3090", "rtx4090"),
    *("rtx5090", "h100-pcie", "h100-sxm", "h200", "b200", "mi300x"),
}


@pytest.fixture
def plain():
    return copy.deepcopy(profile("h200").as_dict())


def test_every_promised_device_is_there():
    assert set(names()) >= REQUIRED
    assert any(profile(name).kind == "cpu" for name in names())


@pytest.mark.parametrize("name", names())
def test_shipped_profile_is_complete_and_sourced(name):
    found = profile(name)
    assert found.name == name and found.figures.keys() == FIELDS.keys()
    assert all(len(figure.source) > 5 for figure in found.figures.values())
    # the cache must be faster than DRAM, and the datasheet rate within what pipes can consume
    assert found.value("l2_bytes_per_s") > found.value("dram_bytes_per_s")
    assert found.value("issue_lanes") >= found.value("alu_lanes")


@pytest.mark.parametrize("name", names())
def test_round_trip(name):
    found = profile(name)
    assert from_json(json.loads(json.dumps(found.as_dict())), "memory") == found


@pytest.mark.parametrize("spelled", ["H200", "rtx 4090", "RTX-4090", "A100 80GB", "b2"])
def test_names_are_forgiving(spelled):
    assert profile(spelled).name in names()


def test_ambiguous_and_unknown_names_list_the_choices():
    with pytest.raises(InputError, match="could be h100-pcie, h100-sxm"):
        profile("h100")
    with pytest.raises(InputError, match=r"unknown device 'gtx1080': choose one of .*h200"):
        profile("gtx1080")
    with pytest.raises(InputError, match="unknown device ''"):
        profile("")
    with pytest.raises(InputError, match="found 5"):
        profile(5)


def test_a_file_of_ones_own(tmp_path, plain):
    plain["name"] = "mine"
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(plain))
    assert profile(str(path)).name == "mine"
    assert profile(path) == profile(profile(path))


def test_files_that_are_not_profiles(tmp_path):
    path = tmp_path / "broken.json"
    with pytest.raises(InputError, match="cannot read the profile"):
        profile(path)
    path.write_text("{")
    with pytest.raises(FormatError, match="is not JSON"):
        profile(path)
    path.write_text("[]")
    with pytest.raises(FormatError, match="found list"):
        profile(path)


@pytest.mark.parametrize("field", FIELDS)
def test_missing_and_non_physical_figures_are_named(field, plain):
    entry = plain["figures"].pop(field)
    with pytest.raises(FormatError, match=f"figure {field} is missing"):
        from_json(plain, "mine.json")
    high = FIELDS[field].high
    for value in (math.nan, math.inf, -1.0, 2 * high + 1, "fast", True, None):
        plain["figures"][field] = entry | {"value": value}
        with pytest.raises(FormatError, match=f"mine.json: {field} is .* expected"):
            from_json(plain, "mine.json")


def test_other_faults_of_a_profile(plain):
    for key in ("name", "title", "kind", "figures"):
        with pytest.raises(FormatError, match=f"has no '{key}'"):
            from_json({k: v for k, v in plain.items() if k != key}, "mine.json")
    with pytest.raises(FormatError, match="kind is 'tpu', expected one of gpu, cpu"):
        from_json(plain | {"kind": "tpu"}, "mine.json")
    with pytest.raises(FormatError, match="figures must be an object"):
        from_json(plain | {"figures": []}, "mine.json")
    plain["figures"]["smss"] = {"value": 1, "source": "typo"}
    with pytest.raises(FormatError, match="unknown figure 'smss'"):
        from_json(plain, "mine.json")
    del plain["figures"]["smss"]
    del plain["figures"]["sms"]["source"]
    with pytest.raises(FormatError, match="sms needs a value and the source"):
        from_json(plain, "mine.json")


FAULTS = [
    ({"name": ["a"]}, "name is .*, expected some words"),
    ({"title": ""}, "title is '', expected some words"),
    ({"calibrated": "no"}, "calibrated is 'no', expected true or false"),
    ({"capability": 9.0}, 'capability is 9.0, expected .* such as "9.0"'),
    ({"capability": "nine"}, "capability is 'nine'"),
    ({"capabilty": "9.0"}, "unknown entry 'capabilty'; a profile has name, title, kind, figures"),
]


@pytest.mark.parametrize(("change", "message"), FAULTS, ids=str)
def test_faults_beside_the_figures(change, message, plain):
    with pytest.raises(FormatError, match=message):
        from_json(plain | change, "mine.json")


FIGURES = [
    ({"value": 132, "source": 5}, "found another type"),
    ({"value": 132, "source": "a", "dobut": "b"}, "found dobut"),
    ({"value": 132.5, "source": "a"}, "sms is 132.5, expected a whole number from 1 to 2048"),
]


@pytest.mark.parametrize(("figure", "message"), FIGURES, ids=str)
def test_faults_of_a_figure(figure, message, plain):
    plain["figures"]["sms"] = figure
    with pytest.raises(FormatError, match=message):
        from_json(plain, "mine.json")


def test_a_misspelt_figure_is_named_beside_the_missing_one(plain):
    plain["figures"]["smss"] = plain["figures"].pop("sms")
    with pytest.raises(FormatError, match=r"figure sms is missing.*unknown is 'smss'"):
        from_json(plain, "mine.json")
