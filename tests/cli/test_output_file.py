"""``--output FILE``: new files only, whole or not at all, JSON or CSV by their name."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim.cli import output_file
from amssim.errors import OutputError

ROWS = [{"name": "a", "bits": 4.25}, {"name": "b, c", "db": 21.5}]


def test_no_file_is_no_work():
    output_file.check_new(None)
    output_file.write_records(None, "amssim.test/1", {}, [])


def test_a_record_is_json_with_its_form(tmp_path):
    path = tmp_path / "record.json"
    output_file.write_records(path, "amssim.test/1", {"records": ROWS}, ROWS)
    assert json.loads(path.read_text()) == {"schema": "amssim.test/1", "records": ROWS}
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize("name", ["rows.csv", "rows.CSV"])
def test_rows_are_csv_with_every_column(tmp_path, name):
    path = tmp_path / name
    output_file.write_records(path, "amssim.test/1", {"records": ROWS}, ROWS)
    lines = path.read_text().splitlines()
    assert lines[0] == "name,bits,db"
    assert list(csv.DictReader(lines)) == [
        {"name": "a", "bits": "4.25", "db": ""}, {"name": "b, c", "bits": "", "db": "21.5"}
    ]  # fmt: skip


def test_a_record_that_is_no_json_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        output_file.write_records(tmp_path / "x.json", "amssim.test/1", {"a": float("inf")}, [])
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text("mine")
    for call in (
        lambda: output_file.check_new(path),
        lambda: output_file.write_new(path, "new"),
        lambda: output_file.write_records(path, "amssim.test/1", {}, []),
    ):
        with pytest.raises(OutputError, match=r"mine\.json exists already: name a new file"):
            call()
    assert path.read_text() == "mine"


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"cannot be written: there is no directory .*/no"):
        output_file.check_new(tmp_path / "no" / "x.json")


def test_a_system_that_refuses_leaves_nothing(tmp_path, monkeypatch):
    def refuse(self, data):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OutputError, match=r"x\.json cannot be written: No space left on device"):
        output_file.write_new(tmp_path / "x.json", "text")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_replaced_is_never_half_written(tmp_path, monkeypatch):
    path = tmp_path / "mine.json"
    path.write_text("old")
    output_file.replace(path, b"new")
    assert path.read_text() == "new"
    monkeypatch.setattr(Path, "replace", lambda self, target: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        output_file.replace(path, "newer")
    assert path.read_text() == "new" and len(list(tmp_path.iterdir())) == 1


@given(st.text(), st.binary())
def test_content_arrives_as_it_is(tmp_path_factory, text, data):
    folder = tmp_path_factory.mktemp("out")
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return
    output_file.write_new(folder / "text", text)
    output_file.write_new(folder / "data", data)
    assert (folder / "text").read_bytes() == encoded and (folder / "data").read_bytes() == data
