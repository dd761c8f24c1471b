"""Shipped profiles against facts that follow from each other, and a profile as plain data."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim.errors import FormatError
from amssim.hardware import FIELDS, Figure, Profile, from_json, names, profile

GPUS = [name for name in names() if profile(name).kind == "gpu"]
NVIDIA = [name for name in GPUS if profile(name).capability]
#: Multiprocessors, datasheet bandwidth in GB/s and capability, from NVIDIA's data sheets.
DATASHEETS = {
    "v100": (80, 900, "7.0"),
    "t4": (40, 320, "7.5"),
    "a100-40gb": (108, 1555, "8.0"),
    "a100-80gb": (108, 2039, "8.0"),
    "a10": (72, 600, "8.6"),
    "l4": (58, 300, "8.9"),
    "l40s": (142, 864, "8.9"),
    "rtx3090": (82, 936, "8.6"),
    "rtx4090": (128, 1008, "8.9"),
    "h100-sxm": (132, 3350, "9.0"),
    "h200": (132, 4800, "9.0"),
}


@pytest.mark.parametrize("name", DATASHEETS)
def test_figures_are_those_of_the_data_sheet(name):
    sms, gb_per_s, capability = DATASHEETS[name]
    device = profile(name)
    assert device.value("sms") == sms
    assert device.value("dram_bytes_per_s") == pytest.approx(gb_per_s * 1e9, rel=0.02)
    assert device.capability == capability


@pytest.mark.parametrize("name", GPUS)
def test_a_gpu_hides_its_latency_within_its_registers_and_shared_memory(name):
    """Little's law: bandwidth times latency is what must be under way on the whole GPU."""
    device = profile(name)
    in_flight = device.value("dram_bytes_per_s") * device.value("load_latency_s")
    room = 4 * device.value("registers_per_sm") + device.value("shared_bytes_per_sm")
    assert in_flight < device.value("sms") * room


@pytest.mark.parametrize("name", NVIDIA)
def test_pipes_are_parts_of_what_a_multiprocessor_issues(name):
    device = profile(name)
    issue = device.value("issue_lanes")
    assert issue == 128, "four schedulers of 32 lanes"
    assert device.value("alu_lanes") <= issue
    assert device.value("imad_lanes") <= issue
    assert device.value("tensor_flops") > 2 * device.value("half_lanes") * device.value("clock_hz")


@pytest.mark.parametrize("name", names())
def test_one_more_launch_in_a_graph_takes_no_longer_than_one_by_one(name):
    device = profile(name)
    assert device.value("launch_graph_s") <= device.value("launch_stream_s")


@pytest.mark.parametrize("name", names())
def test_doubts_are_figures_that_state_one(name):
    device = profile(name)
    assert device.doubtful.keys() <= FIELDS.keys()
    assert all(device.doubtful.values())
    assert set(device.doubtful) == {n for n, f in device.figures.items() if f.doubt}


@given(st.sampled_from(sorted(FIELDS)), st.floats(0, 1))
def test_every_believable_figure_is_accepted(name, share):
    field = FIELDS[name]
    value = field.low + share * (field.high - field.low)
    value = round(value) if field.whole else value
    plain = profile("h200").as_dict()
    plain["figures"][name] = {"value": value, "source": "a test"}
    assert from_json(plain, "memory").value(name) == value


@pytest.mark.parametrize("name", sorted(FIELDS))
@pytest.mark.parametrize("end", ["low", "high"])
def test_a_figure_just_outside_is_refused(name, end):
    field = FIELDS[name]
    value = field.low - abs(field.low) * 0.01 - 1e-9 if end == "low" else field.high * 1.01
    plain = profile("h200").as_dict()
    plain["figures"][name]["value"] = value
    with pytest.raises(FormatError, match=re.escape(f"{name} is {value!r}, expected")):
        from_json(plain, "memory")


def test_plain_data_leave_out_what_is_empty():
    figures = {name: Figure(field.high, "a test") for name, field in FIELDS.items()}
    plain = Profile("mine", "My GPU", "gpu", figures).as_dict()
    assert "capability" not in plain
    assert plain["calibrated"] is False
    assert all(entry.keys() == {"value", "source"} for entry in plain["figures"].values())
    assert from_json(json.loads(json.dumps(plain)), "memory").title == "My GPU"


def test_a_profile_cannot_be_changed_in_place():
    with pytest.raises(AttributeError):
        profile("h200").name = "other"


@pytest.mark.parametrize("letters", ["a100", "rtx"])
def test_several_matches_are_listed(letters):
    matching = [name for name in names() if name.startswith(letters)]
    assert len(matching) > 1
    with pytest.raises(ValueError, match=f"could be {', '.join(matching)}: name one of them"):
        profile(letters)
