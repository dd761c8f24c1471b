"""Recorded results: who made them, on what, with seven digits."""

import json
import sys

import pytest


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    import recorded

    monkeypatch.setattr(recorded, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(recorded, "describe_machine", lambda: {"processor": "A fast one"})
    monkeypatch.setattr(sys, "argv", ["/somewhere/analysis/some_study.py", "--seed", "a b"])
    return recorded


def test_a_record_names_command_and_machine(recorded, tmp_path):
    recorded.save("study", {"rows": [1, 2]})
    assert recorded.load("study") == {
        "command": "python analysis/some_study.py --seed 'a b'",
        "machine": {"processor": "A fast one"},
        "rows": [1, 2],
    }
    assert (tmp_path / "results" / "study.json").read_text().endswith("}\n")


def test_the_models_directory_is_left_out(recorded, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["some_study.py", "--model", "/home/me/model", "--quick"])
    recorded.save("study", {})
    assert recorded.load("study")["command"] == "python analysis/some_study.py --quick"


def test_numbers_keep_seven_digits(recorded):
    values = {"a": [1 / 3, {"b": 123456789.123}], "c": 7, "d": "1.23456789", "e": None, "f": True}
    recorded.save("study", values)
    record = recorded.load("study")
    assert record["a"] == [0.3333333, {"b": 123456800.0}]
    assert {key: record[key] for key in "cdef"} == {key: values[key] for key in "cdef"}
    assert isinstance(record["c"], int)


def test_records_are_text_that_changes_line_by_line(recorded, tmp_path):
    recorded.save("study", {"rows": [{"a": 1}, {"a": 2}]})
    lines = (tmp_path / "results" / "study.json").read_text().splitlines()
    assert len(lines) > 8 and json.loads("\n".join(lines))
